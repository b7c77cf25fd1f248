/* A whole HTTP request in one pass over its bytes, for the one kind of request that comes all the time.
 * Optional: without it the parser of httptools tells the same by a callback for each header.
 *
 * request(data, most_headers) -> (path, headers by name in lower case, body) or None
 *
 * It only ever recognises: a POST over HTTP/1.1 whose target is a plain path, whose headers are plain ASCII, each
 * given once, with a Content-Length that is exactly the rest of `data`, and that leaves the connection as it is.
 * Whatever else there is gives None, also what is wrong with it: what is a request and what is none is decided by
 * httptools alone. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

enum { INTERFACE = 1, MOST_NAME = 64, MOST_LENGTH_DIGITS = 9 };

static const char START[] = "POST ", VERSION[] = " HTTP/1.1\r\n";

/* Headers that make a request mean more than its body. */
static const struct {
    const char *name;
    size_t length;
} UNUSUAL[] = {{"transfer-encoding", 17}, {"content-encoding", 16}, {"upgrade", 7},           {"expect", 6},
               {"trailer", 7},            {"te", 2},                {"proxy-connection", 16}, {"keep-alive", 10}};

static int is_alphanumeric(unsigned char byte) {
    unsigned char letter = byte | 0x20;
    return (byte >= '0' && byte <= '9') || (letter >= 'a' && letter <= 'z');
}

static int is_unusual(const unsigned char *name, size_t length) {
    for (size_t index = 0; index < sizeof UNUSUAL / sizeof *UNUSUAL; index++) {
        if (length == UNUSUAL[index].length && !memcmp(name, UNUSUAL[index].name, length)) {
            return 1;
        }
    }
    return 0;
}

static int is_keep_alive(const unsigned char *value, Py_ssize_t length) {
    static const char WORD[] = "keep-alive";
    if (length != (Py_ssize_t)sizeof WORD - 1) {
        return 0;
    }
    for (Py_ssize_t index = 0; index < length; index++) {
        unsigned char byte = value[index];
        if ((byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte) != (unsigned char)WORD[index]) {
            return 0;
        }
    }
    return 1;
}

/* Digits alone, -1 for anything else. */
static Py_ssize_t length_of(const unsigned char *value, Py_ssize_t length) {
    Py_ssize_t number = 0;
    if (length < 1 || length > MOST_LENGTH_DIGITS) {
        return -1;
    }
    for (Py_ssize_t index = 0; index < length; index++) {
        if (value[index] < '0' || value[index] > '9') {
            return -1;
        }
        number = number * 10 + (value[index] - '0');
    }
    return number;
}

/* One header line at `*at`, put into `headers`; 1 when it was, 0 when it is none that is plain, -1 on an error.
 * `*body_bytes` becomes the Content-Length if it is that. */
static int take_header(const unsigned char **at, const unsigned char *end, PyObject *headers, Py_ssize_t *body_bytes) {
    unsigned char name[MOST_NAME];
    Py_ssize_t name_bytes = 0;
    const unsigned char *here = *at;
    for (; here < end && *here != ':'; here++) {
        if (name_bytes == MOST_NAME || (!is_alphanumeric(*here) && *here != '-')) {
            return 0;
        }
        name[name_bytes++] = *here >= 'A' && *here <= 'Z' ? *here | 0x20 : *here;
    }
    if (here >= end || name_bytes == 0 || is_unusual(name, (size_t)name_bytes)) {
        return 0;
    }
    for (here++; here < end && *here == ' ';) {
        here++;
    }
    const unsigned char *first = here;
    while (here < end && *here >= 0x20 && *here < 0x7f) {
        here++;
    }
    if (end - here < 2 || here[0] != '\r' || here[1] != '\n') {
        return 0;
    }
    *at = here + 2;
    if (name_bytes == 14 && !memcmp(name, "content-length", 14)) {
        *body_bytes = length_of(first, here - first);
        if (*body_bytes < 0) {
            return 0;
        }
    } else if (name_bytes == 10 && !memcmp(name, "connection", 10) && !is_keep_alive(first, here - first)) {
        return 0;
    }
    PyObject *key = PyBytes_FromStringAndSize((const char *)name, name_bytes);
    PyObject *value = PyBytes_FromStringAndSize((const char *)first, here - first);
    int done = -1;
    if (key && value && PyDict_SetItem(headers, key, value) == 0) {
        done = 1;
    }
    Py_XDECREF(key);
    Py_XDECREF(value);
    return done;
}

/* All headers up to the empty line, which `*at` is then behind; as `take_header`, also 0 for one given twice. */
static int take_headers(const unsigned char **at, const unsigned char *end, PyObject *headers, Py_ssize_t most,
                        Py_ssize_t *body_bytes) {
    for (Py_ssize_t count = 0;; count++) {
        if (end - *at >= 2 && (*at)[0] == '\r' && (*at)[1] == '\n') {
            *at += 2;
            return PyDict_GET_SIZE(headers) == count;
        }
        if (count == most) {
            return 0;
        }
        int taken = take_header(at, end, headers, body_bytes);
        if (taken != 1) {
            return taken;
        }
    }
}

static PyObject *request(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count) {
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "request(data: bytes, most_headers: int)");
        return NULL;
    }
    if (!PyBytes_Check(arguments[0])) { /* some event loops hand out a bytearray now and then */
        Py_RETURN_NONE;
    }
    Py_ssize_t most = PyLong_AsSsize_t(arguments[1]);
    if (most == -1 && PyErr_Occurred()) {
        return NULL;
    }
    const unsigned char *data = (const unsigned char *)PyBytes_AS_STRING(arguments[0]);
    const unsigned char *end = data + PyBytes_GET_SIZE(arguments[0]), *at = data + sizeof START - 1;
    if (end - data < (Py_ssize_t)(sizeof START + sizeof VERSION) || memcmp(data, START, sizeof START - 1)) {
        Py_RETURN_NONE;
    }
    const unsigned char *path = at;
    while (at < end && (is_alphanumeric(*at) || *at == '/' || *at == '-' || *at == '_' || *at == '.')) {
        at++;
    }
    Py_ssize_t path_bytes = at - path;
    if (path_bytes == 0 || *path != '/' || end - at < (Py_ssize_t)sizeof VERSION - 1 ||
        memcmp(at, VERSION, sizeof VERSION - 1)) {
        Py_RETURN_NONE;
    }
    at += sizeof VERSION - 1;
    PyObject *headers = PyDict_New();
    if (!headers) {
        return NULL;
    }
    Py_ssize_t body_bytes = -1;
    int taken = take_headers(&at, end, headers, most, &body_bytes);
    PyObject *found = NULL;
    if (taken == 1 && body_bytes == end - at) {
        found = Py_BuildValue("y#Oy#", path, path_bytes, headers, at, body_bytes);
    } else if (taken >= 0) {
        found = Py_NewRef(Py_None);
    }
    Py_DECREF(headers);
    return found;
}

static PyMethodDef request_functions[] = {
    {"request", (PyCFunction)(void (*)(void))request, METH_FASTCALL,
     "request(data, most_headers) -> (path, headers by name in lower case, body) or None"},
    {NULL, NULL, 0, NULL},
};

static int request_exec(PyObject *module) { return PyModule_AddIntConstant(module, "INTERFACE", INTERFACE); }

static PyModuleDef_Slot request_slots[] = {
    {Py_mod_exec, request_exec},
#ifdef Py_MOD_PER_INTERPRETER_GIL_SUPPORTED
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};
static struct PyModuleDef request_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pipeline.stages.gateway._request",
    .m_doc = "A whole HTTP request in C; see pipeline.stages.gateway.native.",
    .m_size = 0,
    .m_methods = request_functions,
    .m_slots = request_slots,
};

PyMODINIT_FUNC PyInit__request(void) { return PyModuleDef_Init(&request_module); }

/* The reading side's frequent steps in C: looking whether a ring has something new, and copying it. Optional:
 * `reader` does the same in Python, and everything out of the ordinary is left to it.
 *
 * Look   one ring: take
 * wait   sleeps until a time, or until some ring fills faster than that
 *
 * What a collector with nothing to do costs is awakenings of Python with cold caches. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <structmember.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- the bytes of a ring: `layout.py` draws them, and `native.py` refuses us when it differs ---------- */
enum { WORD = 8, HEAD = 128 / WORD, TAIL = 256 / WORD, DROPPED = 384 / WORD, NAMES_USED = 640 / WORD };
enum { FACTS_DROPPED = DROPPED + 3 };
enum { ENTRIES = 5632 / WORD, ENTRY_WORDS = 4, ENTRY_BYTES = ENTRY_WORDS * WORD };

#define KIND_BITS (UINT64_C(15) << 24)
#define KIND_DURATION UINT64_C(0)

#define ABSURD_HEAD (UINT64_C(1) << 62) /* the reader's, who refuses it by name */

#define NS_PER_S UINT64_C(1000000000)

typedef struct {
    PyObject_HEAD
    uint64_t capacity;
    unsigned long long mark;
    int fd; /* the reader's; -1 once closed */
    char slow;
} Look;

static PyObject *Look_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(keywords)) {
    int fd;
    unsigned long long capacity;
    if (!PyArg_ParseTuple(args, "iK", &fd, &capacity)) {
        return NULL;
    }
    if (capacity == 0 || (capacity & (capacity - 1)) != 0 || capacity > PY_SSIZE_T_MAX / (2 * ENTRY_BYTES)) {
        PyErr_SetString(PyExc_ValueError, "no ring of this capacity");
        return NULL;
    }
    Look *self = (Look *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->capacity = capacity;
        self->fd = fd;
    }
    return (PyObject *)self;
}

static PyObject *Look_close(Look *self, PyObject *Py_UNUSED(none)) {
    self->fd = -1;
    Py_RETURN_NONE;
}

static void Look_dealloc(Look *self) { Py_TYPE(self)->tp_free((PyObject *)self); }

/* Somebody may cut the file short at any time: nothing of it is mapped, and what is not there is a short read. */
static int copy(const Look *self, void *into, uint64_t bytes, uint64_t at) {
    return bytes == 0 || pread(self->fd, into, bytes, (off_t)at) == (ssize_t)bytes;
}

/* Whether `count` rows at `rows` are entries number `first`, first + 1, …; and whether any of them is a
 * DURATION of at least `limit`. */
static int proven(const uint64_t *rows, uint64_t first, uint64_t count, int64_t limit, char *slow) {
    uint64_t wrong = 0;
    int found = 0;
    for (uint64_t index = 0; index < count; index++) {
        const uint64_t *row = rows + index * ENTRY_WORDS;
        wrong |= row[3] ^ (first + index + 1);
        found |= (int64_t)row[1] >= limit && (row[2] & KIND_BITS) == KIND_DURATION;
    }
    *slow = (char)found;
    return wrong == 0;
}

/* Copies all that is new to `into`, −1 when that takes more than copying. */
static int64_t take(Look *self, uint64_t *into, uint64_t room, uint64_t tail, uint64_t dropped,
                    uint64_t facts, uint64_t names, int64_t limit) {
    struct stat found;
    uint64_t words[NAMES_USED - HEAD + 1]; /* from `head` on */
    if (fstat(self->fd, &found) != 0 || (uint64_t)found.st_size != (ENTRIES + self->capacity * ENTRY_WORDS) * WORD ||
        !copy(self, words, sizeof words, HEAD * WORD)) {
        return -1;
    }
    if (words[DROPPED - HEAD] != dropped || words[FACTS_DROPPED - HEAD] != facts ||
        words[NAMES_USED - HEAD] != names) {
        return -1;
    }
    uint64_t head = words[0];
    if (head < tail || head >= ABSURD_HEAD) {
        return -1; /* before the difference: it would wrap, and an empty slot prove itself entry number 2^64 */
    }
    uint64_t count = head - tail;
    if (count == 0) {
        return 0;
    }
    if (count > self->capacity || count > room) {
        return -1;
    }
    uint64_t begin = tail & (self->capacity - 1);
    uint64_t first = self->capacity - begin < count ? self->capacity - begin : count;
    if (!copy(self, into, first * ENTRY_BYTES, ENTRIES * WORD + begin * ENTRY_BYTES) ||
        !copy(self, into + first * ENTRY_WORDS, (count - first) * ENTRY_BYTES, ENTRIES * WORD) ||
        !proven(into, tail, count, limit, &self->slow)) {
        return -1;
    }
    uint64_t after = tail + count;
    if (pwrite(self->fd, &after, WORD, TAIL * WORD) != WORD) {
        return -1;
    }
    return (int64_t)count;
}

static PyObject *Look_take(Look *self, PyObject *const *args, Py_ssize_t count) {
    uint64_t given[6]; /* at, tail, dropped, facts, names, limit */
    if (count != 7) {
        return PyErr_Format(PyExc_TypeError, "7 arguments, %zd given", count);
    }
    for (int index = 0; index < 6; index++) {
        given[index] = PyLong_AsUnsignedLongLong(args[index + 1]);
    }
    Py_buffer into;
    if (PyErr_Occurred() || PyObject_GetBuffer(args[0], &into, PyBUF_WRITABLE) < 0) {
        return NULL;
    }
    uint64_t rows = (uint64_t)into.len / ENTRY_BYTES;
    int64_t taken = -1;
    if (self->fd != -1 && given[0] <= rows) {
        taken = take(self, (uint64_t *)into.buf + given[0] * ENTRY_WORDS, rows - given[0], given[1], given[2],
                     given[3], given[4], (int64_t)given[5]);
    }
    PyBuffer_Release(&into);
    return PyLong_FromLongLong(taken);
}

/* PyCFunction has two arguments; what METH_FASTCALL calls has three. */
#define FAST(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef Look_methods[] = {
    {"take", FAST(Look_take), METH_FASTCALL,
     "take(into, at, tail, dropped, facts, names, limit) -> how many new entries were copied to row `at` and on, proven, and "
     "are the writer's again; -1, and nothing has moved, when it takes more than that"},
    {"close", FAST(Look_close), METH_NOARGS, "the file is about to be closed; later takes give -1"},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef Look_members[] = {
    {"slow", T_BOOL, offsetof(Look, slow), READONLY, "`take` found a DURATION of `limit` ns or more"},
    {"mark", T_ULONGLONG, offsetof(Look, mark), 0, "a head beyond this ends `wait`"},
    {NULL, 0, 0, 0, NULL},
};

static PyTypeObject LookType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "pipeline.telemetry._look.Look",
    .tp_doc = "Look(fd, capacity): the file of a ring whose entries are proven by their sequence",
    .tp_basicsize = sizeof(Look),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = Look_new,
    .tp_dealloc = (destructor)Look_dealloc,
    .tp_methods = Look_methods,
    .tp_members = Look_members,
};

/* ---- wait --------------------------------------------------------------------------------------------- */
typedef struct {
    int fd;
    uint64_t mark;
} Watched;

static uint64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * NS_PER_S + (uint64_t)at.tv_nsec;
}

static int is_urgent(const Watched *watched, Py_ssize_t count, const char *folder, int64_t seen_ns) {
    for (Py_ssize_t index = 0; index < count; index++) {
        uint64_t head;
        if (pread(watched[index].fd, &head, WORD, HEAD * WORD) != WORD || head > watched[index].mark) {
            return 1;
        }
    }
    struct stat found;
    if (stat(folder, &found) != 0) {
        return seen_ns != -1; /* it was not there before either */
    }
    return (int64_t)found.st_mtim.tv_sec * (int64_t)NS_PER_S + found.st_mtim.tv_nsec != seen_ns;
}

static int wait_for(const Watched *watched, Py_ssize_t count, const char *folder, int64_t seen_ns,
                    uint64_t due_ns, uint64_t peek_ns) {
    uint64_t at_ns;
    while ((at_ns = now_ns()) < due_ns) {
        uint64_t until_ns = due_ns - at_ns > peek_ns ? at_ns + peek_ns : due_ns;
        struct timespec until = {(time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S)};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0) {
        }
        if (until_ns < due_ns && is_urgent(watched, count, folder, seen_ns)) {
            return 1;
        }
    }
    return 0;
}

static PyObject *look_wait(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *looks;
    const char *folder;
    long long seen_ns;
    unsigned long long due_ns, peek_ns;
    if (!PyArg_ParseTuple(args, "O!yLKK", &PyList_Type, &looks, &folder, &seen_ns, &due_ns, &peek_ns)) {
        return NULL;
    }
    Py_ssize_t count = PyList_GET_SIZE(looks);
    Watched *watched = PyMem_Malloc((size_t)(count > 0 ? count : 1) * sizeof(Watched));
    if (watched == NULL) {
        return PyErr_NoMemory();
    }
    for (Py_ssize_t index = 0; index < count; index++) {
        Look *look = (Look *)PyList_GET_ITEM(looks, index);
        if (!Py_IS_TYPE(look, &LookType)) {
            PyMem_Free(watched);
            return PyErr_Format(PyExc_TypeError, "a list of Look, not of %R", Py_TYPE(look));
        }
        watched[index] = (Watched){look->fd, look->mark};
    }
    int urgent;
    Py_BEGIN_ALLOW_THREADS
    urgent = wait_for(watched, count, folder, seen_ns, due_ns, peek_ns);
    Py_END_ALLOW_THREADS
    PyMem_Free(watched);
    return PyBool_FromLong(urgent);
}

static PyMethodDef look_functions[] = {
    {"wait", look_wait, METH_VARARGS,
     "wait(looks, folder, seen_ns, due_ns, peek_ns) -> False at `due_ns` of CLOCK_MONOTONIC; True when, looked at "
     "every `peek_ns` before that, a ring's head was beyond its mark or the folder's time another"},
    {NULL, NULL, 0, NULL},
};

static int look_exec(PyObject *module) {
    if (PyType_Ready(&LookType) < 0) {
        return -1;
    }
    PyObject *layout = Py_BuildValue("(iiiiiiii)", HEAD, TAIL, DROPPED, FACTS_DROPPED, NAMES_USED, ENTRIES,
                                     ENTRY_WORDS, 4);
    if (layout == NULL) {
        return -1;
    }
    int failed = PyModule_AddObjectRef(module, "LAYOUT", layout) < 0 ||
                 PyModule_AddObjectRef(module, "Look", (PyObject *)&LookType) < 0;
    Py_DECREF(layout);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot look_slots[] = {
    {Py_mod_exec, look_exec},
#ifdef Py_MOD_PER_INTERPRETER_GIL_SUPPORTED
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef look_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pipeline.telemetry._look",
    .m_doc = "The reading side of a ring in C; see pipeline.telemetry.native.",
    .m_methods = look_functions,
    .m_slots = look_slots,
};

PyMODINIT_FUNC PyInit__look(void) { return PyModuleDef_Init(&look_module); }

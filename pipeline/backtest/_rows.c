/* The digested bytes of rows in C: what `rows.py` makes by numpy and `stream.py` puts together, in one pass.
 * Optional: without it everything works in Python, and digests the same bytes.
 *
 * write(out, columns, start, stop, tag, decision, fills, named) -> length
 *
 * puts rows `start` to `stop` (exclusive) into the bytearray `out` from its beginning, making it longer where
 * needed. Row i has key_seq i + 1 and the numbers at i of the six int64 `columns`; a row that `named`, a list of
 * (row, decision, fills) in ascending order, has not is quiet: it gets `decision` and `fills`. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { INTERFACE = 1, COLUMNS = 6, DIGITS = 20, MOST_NUMBER = 9 };
/* r, four decimal numbers, three commas, a semicolon, six numbers: a row without what is given as bytes. */
enum { MOST_ROW = 5 + 4 * DIGITS + COLUMNS * MOST_NUMBER };

static unsigned char *put_bytes(unsigned char *at, const void *data, Py_ssize_t length) {
    memcpy(at, data, (size_t)length);
    return at + length;
}

static unsigned char *put_decimal(unsigned char *at, uint64_t value) {
    unsigned char digits[DIGITS];
    int first = DIGITS;
    do {
        digits[--first] = (unsigned char)('0' + value % 10);
        value /= 10;
    } while (value);
    return put_bytes(at, digits + first, DIGITS - first);
}

/* msgpack's shortest form of a number that is not negative. */
static inline int number_width(uint64_t value) {
    return value < 0x80 ? 1 : value < 0x100 ? 2 : value < 0x10000 ? 3 : value <= UINT32_MAX ? 5 : 9;
}

static inline unsigned char *put_number(unsigned char *at, uint64_t value, int width) {
    if (width == 1) {
        *at = (unsigned char)value;
        return at + 1;
    }
    *at = width == 2 ? 0xcc : width == 3 ? 0xcd : width == 5 ? 0xce : 0xcf;
    if (width == 9) {
        for (int left = 8; left > 0; left--, value >>= 8) {
            at[left] = (unsigned char)value;
        }
        return at + 9;
    }
    uint32_t low = (uint32_t)value;
    if (width == 5) {
        at[1] = (unsigned char)(low >> 24);
        at[2] = (unsigned char)(low >> 16);
        at[3] = (unsigned char)(low >> 8);
        at[4] = (unsigned char)low;
    } else if (width == 3) {
        at[1] = (unsigned char)(low >> 8);
        at[2] = (unsigned char)low;
    } else {
        at[1] = (unsigned char)low;
    }
    return at + width;
}

typedef struct {
    PyObject *out;
    Py_buffer columns[COLUMNS];
    int held; /* how many of `columns` are to be released */
    const unsigned char *tag;
    Py_ssize_t tag_bytes;
    /* The last row's key_seq as text, its digits at the end: the next one's is found by adding one to it. */
    unsigned char count[DIGITS];
    int first;
    /* The last quiet row's text between key_seq and `tag`: it changes with the length of the payload only. */
    unsigned char lengths[4 + 3 * DIGITS];
    Py_ssize_t lengths_bytes, lengths_of;
} Job;

static void set_count(Job *job, Py_ssize_t value) {
    memset(job->count, '0', DIGITS);
    job->first = DIGITS - 1;
    for (int place = DIGITS - 1; value; place--, value /= 10) {
        job->count[place] = (unsigned char)('0' + value % 10);
        job->first = place;
    }
}

static void count_on(Job *job) {
    int place = DIGITS - 1;
    while (job->count[place] == '9') {
        job->count[place--] = '0';
    }
    job->count[place]++;
    if (place < job->first) {
        job->first = place;
    }
}

static unsigned char *put_lengths(
    unsigned char *at, Py_ssize_t payload_bytes, Py_ssize_t decision_bytes, Py_ssize_t fills_bytes) {
    *at++ = ',';
    at = put_decimal(at, (uint64_t)payload_bytes);
    *at++ = ',';
    at = put_decimal(at, (uint64_t)decision_bytes);
    *at++ = ',';
    at = put_decimal(at, (uint64_t)fills_bytes);
    *at++ = ';';
    return at;
}

/* One row; -1 with an exception set. `used` bytes of `out` are taken before it, the answer after it. */
static inline Py_ssize_t put_row(
    Job *job, Py_ssize_t used, Py_ssize_t row, PyObject *decision, PyObject *fills, int quiet) {
    Py_ssize_t decision_bytes = PyBytes_GET_SIZE(decision), fills_bytes = PyBytes_GET_SIZE(fills);
    Py_ssize_t most = used + MOST_ROW + job->tag_bytes + decision_bytes + fills_bytes;
    if (most > PyByteArray_GET_SIZE(job->out) && PyByteArray_Resize(job->out, 2 * most) < 0) {
        return -1;
    }
    unsigned char *begin = (unsigned char *)PyByteArray_AS_STRING(job->out), *at = begin + used;
    uint64_t numbers[COLUMNS], all = 0;
    int widths[COLUMNS];
    Py_ssize_t payload_bytes = job->tag_bytes;
    for (int index = 0; index < COLUMNS; index++) {
        uint64_t value = ((const uint64_t *)job->columns[index].buf)[row];
        all |= value;
        numbers[index] = value;
        widths[index] = number_width(value);
        payload_bytes += widths[index];
    }
    if (all >> 63) {
        PyErr_Format(PyExc_ValueError, "row %zd: a number is negative", row);
        return -1;
    }
    *at++ = 'r';
    count_on(job);
    at = put_bytes(at, job->count + job->first, DIGITS - job->first);
    if (!quiet) {
        at = put_lengths(at, payload_bytes, decision_bytes, fills_bytes);
    } else {
        if (payload_bytes != job->lengths_of) {
            job->lengths_bytes =
                put_lengths(job->lengths, payload_bytes, decision_bytes, fills_bytes) - job->lengths;
            job->lengths_of = payload_bytes;
        }
        at = put_bytes(at, job->lengths, job->lengths_bytes);
    }
    at = put_bytes(at, job->tag, job->tag_bytes);
    for (int index = 0; index < COLUMNS; index++) {
        at = put_number(at, numbers[index], widths[index]);
    }
    at = put_bytes(at, PyBytes_AS_STRING(decision), decision_bytes);
    at = put_bytes(at, PyBytes_AS_STRING(fills), fills_bytes);
    return at - begin;
}

/* Rows `start` to `stop` that all are quiet. */
static Py_ssize_t put_quiet(
    Job *job, Py_ssize_t used, Py_ssize_t start, Py_ssize_t stop, PyObject *decision, PyObject *fills) {
    for (Py_ssize_t row = start; row < stop && used >= 0; row++) {
        used = put_row(job, used, row, decision, fills, 1);
    }
    return used;
}

static Py_ssize_t put_rows(
    Job *job, Py_ssize_t start, Py_ssize_t stop, PyObject *decision, PyObject *fills, PyObject *named) {
    Py_ssize_t used = 0, next = start;
    for (Py_ssize_t index = 0; index < PyList_GET_SIZE(named); index++) {
        PyObject *one = PyList_GET_ITEM(named, index);
        if (!PyTuple_Check(one) || PyTuple_GET_SIZE(one) != 3 || !PyBytes_Check(PyTuple_GET_ITEM(one, 1))
            || !PyBytes_Check(PyTuple_GET_ITEM(one, 2))) {
            PyErr_SetString(PyExc_TypeError, "named: a list of (row, decision, fills)");
            return -1;
        }
        Py_ssize_t row = PyLong_AsSsize_t(PyTuple_GET_ITEM(one, 0));
        if (row == -1 && PyErr_Occurred()) {
            return -1;
        }
        if (row < next || row >= stop) {
            PyErr_Format(PyExc_ValueError, "named: row %zd is not from %zd to %zd", row, next, stop - 1);
            return -1;
        }
        used = put_quiet(job, used, next, row, decision, fills);
        if (used < 0) {
            return -1;
        }
        used = put_row(job, used, row, PyTuple_GET_ITEM(one, 1), PyTuple_GET_ITEM(one, 2), 0);
        if (used < 0) {
            return -1;
        }
        next = row + 1;
    }
    return put_quiet(job, used, next, stop, decision, fills);
}

/* The six columns, each with at least `stop` numbers. */
static int take_columns(Job *job, PyObject *columns, Py_ssize_t stop) {
    if (PyTuple_GET_SIZE(columns) != COLUMNS) {
        PyErr_Format(PyExc_ValueError, "columns: %d are needed", COLUMNS);
        return -1;
    }
    for (int index = 0; index < COLUMNS; index++) {
        Py_buffer *view = &job->columns[index];
        if (PyObject_GetBuffer(PyTuple_GET_ITEM(columns, index), view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0) {
            return -1;
        }
        job->held++;
        if (view->ndim != 1 || view->itemsize != (Py_ssize_t)sizeof(int64_t) || view->format == NULL
            || (strcmp(view->format, "l") != 0 && strcmp(view->format, "q") != 0)
            || view->shape[0] < stop) {
            PyErr_Format(PyExc_ValueError, "columns[%d]: %zd numbers of int64 are needed", index, stop);
            return -1;
        }
    }
    return 0;
}

static PyObject *rows_write(PyObject *Py_UNUSED(module), PyObject *arguments) {
    PyObject *columns, *tag, *decision, *fills, *named;
    Py_ssize_t start, stop, used = -1;
    Job job = {.held = 0, .lengths_of = -1};
    if (!PyArg_ParseTuple(arguments, "O!O!nnO!O!O!O!:write", &PyByteArray_Type, &job.out, &PyTuple_Type, &columns,
                          &start, &stop, &PyBytes_Type, &tag, &PyBytes_Type, &decision, &PyBytes_Type, &fills,
                          &PyList_Type, &named)) {
        return NULL;
    }
    if (start < 0 || stop < start) {
        PyErr_SetString(PyExc_ValueError, "start and stop: 0 <= start <= stop");
        return NULL;
    }
    set_count(&job, start);
    job.tag = (const unsigned char *)PyBytes_AS_STRING(tag);
    job.tag_bytes = PyBytes_GET_SIZE(tag);
    if (take_columns(&job, columns, stop) == 0) {
        used = put_rows(&job, start, stop, decision, fills, named);
    }
    for (int index = 0; index < job.held; index++) {
        PyBuffer_Release(&job.columns[index]);
    }
    return used < 0 ? NULL : PyLong_FromSsize_t(used);
}

static PyMethodDef rows_functions[] = {
    {"write", rows_write, METH_VARARGS,
     "write(out, columns, start, stop, tag, decision, fills, named) -> length of the rows put into out"},
    {NULL, NULL, 0, NULL},
};

static int rows_exec(PyObject *module) { return PyModule_AddIntConstant(module, "INTERFACE", INTERFACE); }

static PyModuleDef_Slot rows_slots[] = {
    {Py_mod_exec, rows_exec},
#ifdef Py_MOD_PER_INTERPRETER_GIL_SUPPORTED
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};
static struct PyModuleDef rows_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pipeline.backtest._rows",
    .m_doc = "The digested bytes of rows in C; see pipeline.backtest.native.",
    .m_size = 0,
    .m_methods = rows_functions,
    .m_slots = rows_slots,
};

PyMODINIT_FUNC PyInit__rows(void) { return PyModuleDef_Init(&rows_module); }

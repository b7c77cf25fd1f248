/* A posted candle in one pass over its bytes: what msgspec, the check for keys given twice, the instruments and
 * the msgpack encoder make of it one after the other. Optional: without it everything works in Python, and
 * journals the same bytes.
 *
 * candle(body, counted, default) -> (symbol, payload, time_us) or None
 *
 * `counted` has by symbol, and `default` is, a tuple (price scale, quantity scale, tick). It only ever recognises:
 * whatever is not a candle written as nearly everybody writes it (every text plain ASCII without an escape, a time
 * with at most six decimals of a second) gives None, also where it is wrong, and Python says what it is. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { INTERFACE = 1, MOST_SYMBOL = 32, MOST_DECIMAL = 32, MOST_SCALE = 8 };
#define MOST_SCALED INT64_C(1000000000000000)
#define MOST_TIME_US INT64_C(4102444800000000)

enum { TYPE, SYMBOL, TIME, OPEN, HIGH, LOW, CLOSE, VOLUME, FIELDS };
static const struct {
    const char *name;
    size_t length;
} NAMES[FIELDS] = {{"type", 4}, {"symbol", 6}, {"time", 4}, {"open", 4},
                   {"high", 4}, {"low", 3},    {"close", 5}, {"volume", 6}};

typedef struct {
    const unsigned char *at;
    Py_ssize_t length;
} Text;

static const unsigned char *past_space(const unsigned char *at, const unsigned char *end) {
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) {
        at++;
    }
    return at;
}

/* The text in quotes at `at`, and what follows it; NULL for none, or for one that is not plain. */
static const unsigned char *take_text(const unsigned char *at, const unsigned char *end, Text *text) {
    if (at >= end || *at != '"') {
        return NULL;
    }
    const unsigned char *first = ++at;
    while (at < end && *at != '"') {
        if (*at < 0x20 || *at > 0x7e || *at == '\\') {
            return NULL;
        }
        at++;
    }
    text->at = first;
    text->length = at - first;
    return at < end ? at + 1 : NULL;
}

static int field_of(const Text *name) {
    for (int field = 0; field < FIELDS; field++) {
        if ((size_t)name->length == NAMES[field].length && !memcmp(name->at, NAMES[field].name, NAMES[field].length)) {
            return field;
        }
    }
    return -1;
}

/* Every field's text, each at most once; 0 when this is no object of such texts alone. */
static int take_fields(const unsigned char *at, const unsigned char *end, Text fields[FIELDS]) {
    at = past_space(at, end);
    if (at >= end || *at++ != '{') {
        return 0;
    }
    for (;;) {
        Text name, value;
        if (!(at = take_text(past_space(at, end), end, &name))) {
            return 0;
        }
        at = past_space(at, end);
        if (at >= end || *at++ != ':' || !(at = take_text(past_space(at, end), end, &value))) {
            return 0;
        }
        int field = field_of(&name);
        if (field < 0 || fields[field].at) {
            return 0;
        }
        fields[field] = value;
        at = past_space(at, end);
        if (at >= end || (*at != ',' && *at != '}')) {
            return 0;
        }
        if (*at++ == '}') {
            return past_space(at, end) == end;
        }
    }
}

static int is_digit(unsigned char byte) { return byte >= '0' && byte <= '9'; }

static int is_symbol(const Text *text) {
    if (text->length < 1 || text->length > MOST_SYMBOL) {
        return 0;
    }
    for (Py_ssize_t index = 0; index < text->length; index++) {
        unsigned char byte = text->at[index], letter = byte | 0x20;
        if (!is_digit(byte) && !(letter >= 'a' && letter <= 'z') && !strchr("._/:=^-", byte)) {
            return 0;
        }
    }
    return 1;
}

/* A number that is not negative, times 10^scale; -1 for anything else, or what does not fit. */
static int64_t scaled(const Text *text, long scale) {
    Py_ssize_t index = 0;
    int64_t value = 0;
    if (text->length < 1 || text->length > MOST_DECIMAL) {
        return -1;
    }
    for (; index < text->length && is_digit(text->at[index]); index++) {
        value = value * 10 + (text->at[index] - '0');
        if (value > MOST_SCALED) {
            return -1;
        }
    }
    if (index == 0) {
        return -1;
    }
    long decimals = 0;
    if (index < text->length) {
        if (text->at[index++] != '.' || index == text->length) {
            return -1;
        }
        for (; index < text->length; index++) {
            unsigned char byte = text->at[index];
            if (!is_digit(byte) || (decimals >= scale && byte != '0')) {
                return -1;
            }
            if (decimals < scale) {
                value = value * 10 + (byte - '0');
                decimals++;
                if (value > MOST_SCALED) {
                    return -1;
                }
            }
        }
    }
    for (; decimals < scale; decimals++) {
        value *= 10;
        if (value > MOST_SCALED) {
            return -1;
        }
    }
    return value;
}

/* `count` digits as a number, -1 when there is anything else. */
static int number(const unsigned char *at, int count) {
    int value = 0;
    for (; count > 0; count--, at++) {
        if (!is_digit(*at)) {
            return -1;
        }
        value = value * 10 + (*at - '0');
    }
    return value;
}

/* Days from 1970-01-01 to a day of the Gregorian calendar. Months are counted from March, so that the leap day is
 * the last of its year (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil). */
static int64_t days_of(int year, int month, int day) {
    int shifted = month <= 2 ? year - 1 : year;
    int era = shifted / 400, of_era = shifted % 400;
    int of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return (int64_t)era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int days_in(int year, int month) {
    if (month == 2) {
        return (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)) ? 29 : 28;
    }
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/* Microseconds since the epoch of 2024-05-01T16:00:00[.123456](Z|+hh:mm|-hh:mm); -1 for any other text. */
static int64_t microseconds(const Text *text) {
    const unsigned char *at = text->at, *end = text->at + text->length;
    if (text->length < 20 || at[4] != '-' || at[7] != '-' || at[10] != 'T' || at[13] != ':' || at[16] != ':') {
        return -1;
    }
    int year = number(at, 4), month = number(at + 5, 2), day = number(at + 8, 2);
    int hour = number(at + 11, 2), minute = number(at + 14, 2), second = number(at + 17, 2);
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in(year, month) || hour < 0 || hour > 23 ||
        minute < 0 || minute > 59 || second < 0 || second > 59) {
        return -1;
    }
    at += 19;
    int64_t micros = 0;
    if (*at == '.') {
        int digits = 0;
        for (at++; at < end && is_digit(*at) && digits < 6; at++, digits++) {
            micros = micros * 10 + (*at - '0');
        }
        if (digits == 0) {
            return -1;
        }
        for (; digits < 6; digits++) {
            micros *= 10;
        }
    }
    int64_t seconds = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    if (end - at == 6 && (*at == '+' || *at == '-') && at[3] == ':') {
        int hours = number(at + 1, 2), minutes = number(at + 4, 2);
        if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) {
            return -1;
        }
        int ahead = hours * 3600 + minutes * 60;
        seconds -= *at == '+' ? ahead : -ahead;
    } else if (end - at != 1 || *at != 'Z') {
        return -1;
    }
    int64_t time_us = seconds * 1000000 + micros;
    return time_us >= 0 && time_us <= MOST_TIME_US ? time_us : -1;
}

/* msgpack's shortest form of a number that is not negative. */
static unsigned char *put_number(unsigned char *at, uint64_t value) {
    int bytes = value < 0x80 ? 0 : value < 0x100 ? 1 : value < 0x10000 ? 2 : value <= UINT32_MAX ? 4 : 8;
    if (bytes == 0) {
        *at = (unsigned char)value;
        return at + 1;
    }
    *at++ = bytes == 1 ? 0xcc : bytes == 2 ? 0xcd : bytes == 4 ? 0xce : 0xcf;
    for (int left = bytes - 1; left >= 0; left--, value >>= 8) {
        at[left] = (unsigned char)value;
    }
    return at + bytes;
}

/* The candle as the array that `messages.Candle` is. */
static PyObject *packed(const Text *symbol, const int64_t numbers[6]) {
    unsigned char made[1 + 2 + 2 + MOST_SYMBOL + 6 * 9], *at = made;
    *at++ = 0x90 | 8;
    *at++ = 0xa1;
    *at++ = 'c';
    if (symbol->length < 32) {
        *at++ = (unsigned char)(0xa0 | symbol->length);
    } else {
        *at++ = 0xd9;
        *at++ = (unsigned char)symbol->length;
    }
    memcpy(at, symbol->at, (size_t)symbol->length);
    at += symbol->length;
    for (int index = 0; index < 6; index++) {
        at = put_number(at, (uint64_t)numbers[index]);
    }
    return PyBytes_FromStringAndSize((const char *)made, at - made);
}

static PyObject *made_of(PyObject *symbol, const Text fields[FIELDS], PyObject *counted) {
    long price_scale, quantity_scale;
    long long tick;
    if (!PyArg_ParseTuple(counted, "llL", &price_scale, &quantity_scale, &tick)) {
        return NULL;
    }
    if (price_scale < 0 || price_scale > MOST_SCALE || quantity_scale < 0 || quantity_scale > MOST_SCALE || tick < 1) {
        Py_RETURN_NONE;
    }
    static const Text NOTHING = {(const unsigned char *)"0", 1};
    int64_t numbers[6] = {microseconds(&fields[TIME])};
    for (int field = OPEN; field <= CLOSE; field++) {
        int64_t price = numbers[field - TIME] = scaled(&fields[field], price_scale);
        if (price <= 0 || price % tick) {
            Py_RETURN_NONE;
        }
    }
    numbers[5] = scaled(fields[VOLUME].at ? &fields[VOLUME] : &NOTHING, quantity_scale);
    int64_t open = numbers[1], high = numbers[2], low = numbers[3], close = numbers[4];
    if (numbers[0] < 0 || numbers[5] < 0 || open < low || open > high || close < low || close > high) {
        Py_RETURN_NONE;
    }
    PyObject *payload = packed(&fields[SYMBOL], numbers);
    return payload ? Py_BuildValue("ONL", symbol, payload, (long long)numbers[0]) : NULL;
}

static PyObject *candle(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count) {
    Text fields[FIELDS] = {{NULL, 0}};
    if (count != 3 || !PyBytes_Check(arguments[0]) || !PyDict_Check(arguments[1]) || !PyTuple_Check(arguments[2])) {
        PyErr_SetString(PyExc_TypeError, "candle(body: bytes, counted: dict, default: tuple)");
        return NULL;
    }
    const unsigned char *body = (const unsigned char *)PyBytes_AS_STRING(arguments[0]);
    if (!take_fields(body, body + PyBytes_GET_SIZE(arguments[0]), fields)) {
        Py_RETURN_NONE;
    }
    for (int field = 0; field < VOLUME; field++) {
        if (!fields[field].at) {
            Py_RETURN_NONE;
        }
    }
    if (fields[TYPE].length != 6 || memcmp(fields[TYPE].at, "candle", 6) || !is_symbol(&fields[SYMBOL])) {
        Py_RETURN_NONE;
    }
    PyObject *symbol = PyUnicode_DecodeASCII((const char *)fields[SYMBOL].at, fields[SYMBOL].length, NULL);
    if (!symbol) {
        return NULL;
    }
    PyObject *result = NULL, *counted = PyDict_GetItemWithError(arguments[1], symbol);
    if (counted || !PyErr_Occurred()) {
        result = made_of(symbol, fields, counted ? counted : arguments[2]);
    }
    Py_DECREF(symbol);
    return result;
}

static PyMethodDef candle_functions[] = {
    {"candle", (PyCFunction)(void (*)(void))candle, METH_FASTCALL,
     "candle(body, counted, default) -> (symbol, payload, time_us) or None"},
    {NULL, NULL, 0, NULL},
};

static int candle_exec(PyObject *module) { return PyModule_AddIntConstant(module, "INTERFACE", INTERFACE); }

static PyModuleDef_Slot candle_slots[] = {
    {Py_mod_exec, candle_exec},
#ifdef Py_MOD_PER_INTERPRETER_GIL_SUPPORTED
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};
static struct PyModuleDef candle_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pipeline.stages.gateway._candle",
    .m_doc = "A posted candle in C; see pipeline.stages.gateway.native.",
    .m_size = 0,
    .m_methods = candle_functions,
    .m_slots = candle_slots,
};

PyMODINIT_FUNC PyInit__candle(void) { return PyModuleDef_Init(&candle_module); }

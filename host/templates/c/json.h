// A reader of JSON (RFC 8259), as much of it as this client needs.

#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
  const char *next;
  const char *end;
} json_reader;

// A part of the text.
typedef struct {
  const char *start;
  size_t length;
} json_span;

// Each function skips space first, and returns false, and reads nothing, if something else is next.

// Reads this character, one of the JSON punctuation.
bool json_take(json_reader *reader, char character);
// Reads any value. `span` may be NULL.
bool json_value(json_reader *reader, json_span *span);
// Whether only space is left.
bool json_ended(json_reader *reader);

// Writes the characters of a string to `out`, which has room for `string.length` bytes, as UTF-8 and returns their
// length in bytes, or -1 if the value is not a string of Unicode characters.
long json_string(json_span string, char *out);
// Whether the value is an integer, written without a fraction and an exponent.
bool json_is_integer(json_span value);

#endif

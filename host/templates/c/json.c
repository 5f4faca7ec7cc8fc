#include "json.h"

#include <stdint.h>
#include <string.h>

// Deeper values are refused, because each level takes a part of the stack.
#define MAX_DEPTH 100

static bool value(json_reader *reader, int depth);

static void skip_space(json_reader *reader) {
  while (reader->next < reader->end && strchr(" \t\r\n", *reader->next) != NULL && *reader->next != '\0') reader->next++;
}

bool json_take(json_reader *reader, char character) {
  skip_space(reader);
  if (reader->next == reader->end || *reader->next != character) return false;
  reader->next++;
  return true;
}

bool json_ended(json_reader *reader) {
  skip_space(reader);
  return reader->next == reader->end;
}

static bool literal(json_reader *reader, const char *text) {
  size_t length = strlen(text);
  if ((size_t)(reader->end - reader->next) < length || memcmp(reader->next, text, length) != 0) return false;
  reader->next += length;
  return true;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Reads the four digits after \u; -1 if they are not hexadecimal.
static long code_unit(const char *digits, const char *end) {
  if (end - digits < 4) return -1;
  long unit = 0;
  for (int i = 0; i < 4; i++) {
    int digit = hex_digit(digits[i]);
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

static bool string(json_reader *reader) {
  if (!json_take(reader, '"')) return false;
  while (reader->next < reader->end) {
    unsigned char c = *reader->next++;
    if (c == '"') return true;
    if (c < 0x20) return false;
    if (c != '\\') continue;
    if (reader->next == reader->end) return false;
    char escaped = *reader->next++;
    if (escaped == 'u') {
      if (code_unit(reader->next, reader->end) < 0) return false;
      reader->next += 4;
    } else if (escaped == '\0' || strchr("\"\\/bfnrt", escaped) == NULL) {
      return false;
    }
  }
  return false;
}

static bool digits(json_reader *reader) {
  const char *start = reader->next;
  while (reader->next < reader->end && *reader->next >= '0' && *reader->next <= '9') reader->next++;
  return reader->next > start;
}

static bool number(json_reader *reader) {
  literal(reader, "-");
  if (!literal(reader, "0") && !digits(reader)) return false;
  if (literal(reader, ".") && !digits(reader)) return false;
  if (literal(reader, "e") || literal(reader, "E")) {
    if (!literal(reader, "+")) literal(reader, "-");
    if (!digits(reader)) return false;
  }
  return true;
}

static bool array(json_reader *reader, int depth) {
  if (json_take(reader, ']')) return true;
  do {
    if (!value(reader, depth)) return false;
  } while (json_take(reader, ','));
  return json_take(reader, ']');
}

static bool object(json_reader *reader, int depth) {
  if (json_take(reader, '}')) return true;
  do {
    if (!string(reader) || !json_take(reader, ':') || !value(reader, depth)) return false;
  } while (json_take(reader, ','));
  return json_take(reader, '}');
}

static bool value(json_reader *reader, int depth) {
  if (depth == 0) return false;
  if (json_take(reader, '[')) return array(reader, depth - 1);
  if (json_take(reader, '{')) return object(reader, depth - 1);
  if (reader->next < reader->end && *reader->next == '"') return string(reader);
  return literal(reader, "true") || literal(reader, "false") || literal(reader, "null") || number(reader);
}

bool json_value(json_reader *reader, json_span *span) {
  skip_space(reader);
  const char *start = reader->next;
  if (!value(reader, MAX_DEPTH)) {
    reader->next = start;
    return false;
  }
  if (span != NULL) *span = (json_span){start, (size_t)(reader->next - start)};
  return true;
}

static char *utf8(uint32_t c, char *out) {
  if (c < 0x80) {
    *out++ = (char)c;
  } else if (c < 0x800) {
    *out++ = (char)(0xc0 | c >> 6);
    *out++ = (char)(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    *out++ = (char)(0xe0 | c >> 12);
    *out++ = (char)(0x80 | (c >> 6 & 0x3f));
    *out++ = (char)(0x80 | (c & 0x3f));
  } else {
    *out++ = (char)(0xf0 | c >> 18);
    *out++ = (char)(0x80 | (c >> 12 & 0x3f));
    *out++ = (char)(0x80 | (c >> 6 & 0x3f));
    *out++ = (char)(0x80 | (c & 0x3f));
  }
  return out;
}

long json_string(json_span span, char *out) {
  if (span.length < 2 || span.start[0] != '"') return -1;
  const char *next = span.start + 1, *end = span.start + span.length - 1;
  char *written = out;
  while (next < end) {
    char c = *next++;
    if (c != '\\') {
      *written++ = c;
      continue;
    }
    char escaped = *next++;
    if (escaped == 'u') {
      uint32_t unit = (uint32_t)code_unit(next, end);
      next += 4;
      if (unit >= 0xd800 && unit < 0xdc00 && end - next >= 6 && next[0] == '\\' && next[1] == 'u') {
        uint32_t low = (uint32_t)code_unit(next + 2, end);
        if (low < 0xdc00 || low > 0xdfff) return -1;
        next += 6;
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
      } else if (unit >= 0xd800 && unit <= 0xdfff) {
        return -1;
      }
      written = utf8(unit, written);
    } else {
      static const char names[] = "bfnrt", characters[] = "\b\f\n\r\t";
      const char *name = strchr(names, escaped);
      *written++ = name == NULL ? escaped : characters[name - names];
    }
  }
  return written - out;
}

bool json_is_integer(json_span span) {
  if (span.length == 0 || span.start[0] == '"') return false;
  for (size_t i = 0; i < span.length; i++) {
    char c = span.start[i];
    if (!(c >= '0' && c <= '9') && !(c == '-' && i == 0)) return false;
  }
  return true;
}

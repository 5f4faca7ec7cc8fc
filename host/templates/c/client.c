// A client of Oneflight: one request for each call. Sharing, limits and deadlines are the host's.

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/client.h"
#include "json.h"

typedef exports_oneflight_client_items_error_t error_t;
typedef exports_oneflight_client_items_list_item_t items_t;
typedef exports_oneflight_client_items_item_t item_t;

// Ends the call with an error that has a text.
static bool fail(error_t *error, uint8_t tag, const char *text) {
  error->tag = tag;
  client_string_dup(&error->val.other, text);
  return false;
}

static bool malformed(error_t *error, const char *text) {
  return fail(error, EXPORTS_ONEFLIGHT_CLIENT_ITEMS_ERROR_UPSTREAM_MALFORMED, text);
}

static void *allocate(size_t size) {
  void *memory = malloc(size > 0 ? size : 1);
  if (memory == NULL) abort();
  return memory;
}

// BASE_URL and the key as one segment of its path. Without encoding, a key could choose another path or add parameters,
// and even encoded, a segment of dots means another folder.
static char *url_of(const char *base, client_string_t key) {
  size_t end = strlen(base);
  while (end > 0 && base[end - 1] == '/') end--;
  char *url = allocate(end + 1 + 3 * key.len + 1);
  memcpy(url, base, end);
  char *next = url + end;
  *next++ = '/';
  for (size_t i = 0; i < key.len; i++) {
    unsigned char byte = key.ptr[i];
    bool is_alphanumeric = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
    if (is_alphanumeric || (byte != '\0' && strchr("-._~", byte) != NULL)) {
      *next++ = (char)byte;
    } else {
      next += sprintf(next, "%%%02X", byte);
    }
  }
  *next = '\0';
  return url;
}

// The error of `items` for one of `fetch`, whose text it takes over.
static bool failed(error_t *error, oneflight_client_fetch_fetch_error_t why) {
  switch (why.tag) {
    case ONEFLIGHT_CLIENT_FETCH_FETCH_ERROR_DENIED:
      error->tag = EXPORTS_ONEFLIGHT_CLIENT_ITEMS_ERROR_DENIED;
      break;
    case ONEFLIGHT_CLIENT_FETCH_FETCH_ERROR_MALFORMED:
      error->tag = EXPORTS_ONEFLIGHT_CLIENT_ITEMS_ERROR_UPSTREAM_MALFORMED;
      break;
    case ONEFLIGHT_CLIENT_FETCH_FETCH_ERROR_INVALID_REQUEST:
      error->tag = EXPORTS_ONEFLIGHT_CLIENT_ITEMS_ERROR_OTHER;
      break;
    default:
      error->tag = EXPORTS_ONEFLIGHT_CLIENT_ITEMS_ERROR_UPSTREAM_UNAVAILABLE;
  }
  error->val.other = why.val.denied;
  return false;
}

// The value of the member `id` of an object, or of the last one.
static bool id_of(json_span object, json_span *id) {
  json_reader reader = {object.start, object.start + object.length};
  bool found = false;
  if (!json_take(&reader, '{') || json_take(&reader, '}')) return false;
  do {
    json_span name, value;
    json_value(&reader, &name);
    json_take(&reader, ':');
    json_value(&reader, &value);
    char text[16];
    if (name.length <= sizeof text && json_string(name, text) == 2 && memcmp(text, "id", 2) == 0) {
      *id = value;
      found = true;
    }
  } while (json_take(&reader, ','));
  return found;
}

static bool item_of(json_span object, item_t *item) {
  json_span id;
  if (!id_of(object, &id)) return false;
  char *text = allocate(id.length);
  long length = json_is_integer(id) ? (long)id.length : json_string(id, text);
  if (json_is_integer(id)) memcpy(text, id.start, id.length);
  if (length < 0) {
    free(text);
    return false;
  }
  client_string_dup_n(&item->id, text, (size_t)length);
  free(text);
  client_string_dup_n(&item->body, object.start, object.length);
  return true;
}

// The elements of a JSON array of objects, each with an id.
static bool items_of(oneflight_client_fetch_body_t body, items_t *items, error_t *error) {
  if (body.tag != ONEFLIGHT_CLIENT_FETCH_BODY_TEXT) return malformed(error, "expected UTF-8");
  const char *text = (const char *)body.val.text.ptr;
  size_t length = body.val.text.len;
  // A byte-order mark is no part of JSON, but some servers send it.
  if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) text += 3, length -= 3;
  json_reader all = {text, text + length};
  if (!json_value(&all, NULL) || !json_ended(&all)) return malformed(error, "expected JSON");

  json_reader reader = {text, text + length};
  if (!json_take(&reader, '[')) return malformed(error, "expected an array");
  // An element takes at least one byte.
  items->ptr = allocate(length * sizeof(item_t));
  items->len = 0;
  json_span element;
  while (json_value(&reader, &element)) {
    if (!item_of(element, &items->ptr[items->len])) {
      exports_oneflight_client_items_list_item_free(items);
      return malformed(error, "expected items with an id that is a string or an integer");
    }
    items->len++;
    json_take(&reader, ',');
  }
  return true;
}

static bool get(char *url, items_t *items, error_t *error) {
  client_tuple2_string_string_t accept;
  client_string_set(&accept.f0, "accept");
  client_string_set(&accept.f1, "application/json");
  oneflight_client_fetch_request_t request = {.headers = {&accept, 1}};
  client_string_set(&request.method, "GET");
  client_string_set(&request.url, url);
  oneflight_client_fetch_response_t response;
  oneflight_client_fetch_fetch_error_t why;
  if (!oneflight_client_fetch_fetch(&request, &response, &why)) return failed(error, why);

  bool is_ok = false;
  switch (response.status) {
    case 200:
      is_ok = items_of(response.body, items, error);
      break;
    case 204:
      *items = (items_t){NULL, 0};
      is_ok = true;
      break;
    case 404:
      error->tag = EXPORTS_ONEFLIGHT_CLIENT_ITEMS_ERROR_NOT_FOUND;
      break;
    case 429:
      // Without a number of seconds, callers get the Retry-After of the response.
      error->tag = EXPORTS_ONEFLIGHT_CLIENT_ITEMS_ERROR_RATE_LIMITED;
      error->val.rate_limited.is_some = false;
      break;
    default:
      error->tag = EXPORTS_ONEFLIGHT_CLIENT_ITEMS_ERROR_UPSTREAM_STATUS;
      error->val.upstream_status = response.status;
  }
  oneflight_client_fetch_response_free(&response);
  return is_ok;
}

bool exports_oneflight_client_items_get_items(client_string_t *x, items_t *items, error_t *error) {
  const char *base = getenv("BASE_URL");
  bool is_dots = x->len <= 2 && memcmp("..", x->ptr, x->len) == 0;
  bool is_ok;
  if (base == NULL) {
    is_ok = fail(error, EXPORTS_ONEFLIGHT_CLIENT_ITEMS_ERROR_OTHER, "expected the setting BASE_URL, got none");
  } else if (is_dots) {
    is_ok = fail(error, EXPORTS_ONEFLIGHT_CLIENT_ITEMS_ERROR_INVALID_KEY, "expected a key that can be a segment of a path");
  } else {
    char *url = url_of(base, *x);
    is_ok = get(url, items, error);
    free(url);
  }
  client_string_free(x);
  return is_ok;
}

// Requests to the upstream.

#include "upstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *allocate(size_t size) {
  void *memory = malloc(size);
  if (memory == NULL) abort();
  return memory;
}

static upstream_reply failed(const char *why) {
  upstream_reply reply = {.is_response = false};
  reply.error.tag = ONEFLIGHT_CLIENT_FETCH_FETCH_ERROR_INVALID_REQUEST;
  client_string_dup(&reply.error.val.invalid_request, why);
  return reply;
}

// Appends bytes as one segment of a path. Without encoding, an argument could choose another path or add parameters.
static char *append(char *next, const uint8_t *bytes, size_t length) {
  *next++ = '/';
  for (size_t i = 0; i < length; i++) {
    unsigned char byte = bytes[i];
    bool is_alphanumeric = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
    if (is_alphanumeric || (byte != '\0' && strchr("-._~", byte) != NULL)) {
      *next++ = (char)byte;
    } else {
      next += sprintf(next, "%%%02X", byte);
    }
  }
  return next;
}

upstream_reply upstream_get(const char *name, const client_string_t **segments) {
  const char *base = getenv("BASE_URL");
  if (base == NULL) return failed("expected the setting BASE_URL, got none");
  size_t end = strlen(base), size = end + 1 + 3 * strlen(name) + 1;
  while (end > 0 && base[end - 1] == '/') end--;
  for (size_t i = 0; segments[i] != NULL; i++) {
    // Even encoded, a segment of dots means another folder.
    bool is_dots = segments[i]->len <= 2 && memcmp("..", segments[i]->ptr, segments[i]->len) == 0;
    if (is_dots) return failed("expected an argument that can be a segment of a path");
    size += 1 + 3 * segments[i]->len;
  }
  char *url = allocate(size);
  memcpy(url, base, end);
  char *next = append(url + end, (const uint8_t *)name, strlen(name));
  for (size_t i = 0; segments[i] != NULL; i++) next = append(next, segments[i]->ptr, segments[i]->len);
  *next = '\0';

  client_tuple2_string_string_t accept;
  client_string_set(&accept.f0, "accept");
  client_string_set(&accept.f1, "application/json");
  oneflight_client_fetch_request_t request = {.headers = {&accept, 1}};
  client_string_set(&request.method, "GET");
  client_string_set(&request.url, url);
  upstream_reply reply;
  reply.is_response = oneflight_client_fetch_fetch(&request, &reply.response, &reply.error);
  free(url);
  return reply;
}

void upstream_free(upstream_reply *reply) {
  if (reply->is_response) {
    oneflight_client_fetch_response_free(&reply->response);
  } else {
    oneflight_client_fetch_fetch_error_free(&reply->error);
  }
}

noreturn void upstream_unfinished(const char *name, const upstream_reply *reply) {
  fprintf(stderr, "%s is not written yet: expected an answer from it in client.c, its request got ", name);
  if (reply->is_response) {
    fprintf(stderr, "a response with the status %d\n", reply->response.status);
  } else {
    client_string_t text = reply->error.val.invalid_request;
    fprintf(stderr, "an error: %.*s\n", (int)text.len, (const char *)text.ptr);
  }
  abort();
}

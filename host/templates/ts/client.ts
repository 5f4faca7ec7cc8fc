// A client of Oneflight: one request for each call. Sharing, limits and deadlines are the host's.

import { getEnvironment } from 'wasi:cli/environment@0.2.3';
import { fetch, type Body, type FetchError, type Response } from 'oneflight:client/fetch@0.1.0';
import type { Error as ItemsError, Item } from 'oneflight:client/items@0.1.0';

export const items = {
  getItems(x: string): Item[] {
    const { status, body } = get(`${baseUrl()}/${pathSegment(x)}`);
    switch (status) {
      case 200: return itemsOf(body);
      case 204: return [];
      case 404: return fail({ tag: 'not-found' });
      // Without a number of seconds, callers get the Retry-After of the response.
      case 429: return fail({ tag: 'rate-limited', val: undefined });
      default: return fail({ tag: 'upstream-status', val: status });
    }
  },
};

// Ends the call with this error. Any other exception would be a crash of the client.
function fail(error: ItemsError): never {
  throw error;
}

function malformed(expected: string): never {
  return fail({ tag: 'upstream-malformed', val: expected });
}

function baseUrl(): string {
  const settings = new Map(getEnvironment());
  const url = settings.get('BASE_URL') ?? fail({ tag: 'other', val: 'expected the setting BASE_URL, got none' });
  return url.replace(/\/+$/, '');
}

// The key as one segment of a path. Without encoding, a key could choose another path or add parameters, and even
// encoded, a segment of dots means another folder.
function pathSegment(key: string): string {
  if (['', '.', '..'].includes(key)) {
    fail({ tag: 'invalid-key', val: `expected a key that can be a segment of a path, got "${key}"` });
  }
  return encodeURIComponent(key);
}

function get(url: string): Response {
  try {
    return fetch({ method: 'GET', url, headers: [['accept', 'application/json']], body: undefined });
  } catch (thrown) {
    const { tag, val } = (thrown as { payload: FetchError }).payload;
    fail({ tag: ERRORS[tag], val });
  }
}

// The errors of `items` for those of `fetch`.
const ERRORS = {
  denied: 'denied',
  unavailable: 'upstream-unavailable',
  timeout: 'upstream-unavailable',
  'response-too-large': 'upstream-unavailable',
  malformed: 'upstream-malformed',
  'invalid-request': 'other',
} as const;

function itemsOf(body: Body): Item[] {
  if (body.tag !== 'text') return malformed('expected UTF-8');
  let array: unknown;
  try {
    // A byte-order mark is no part of JSON, but some servers send it.
    array = JSON.parse(body.val.replace(/^\uFEFF/, ''), exact);
  } catch (error) {
    malformed(String(error));
  }
  if (!Array.isArray(array)) return malformed('expected an array');
  return array.map((item) => ({ id: id(item?.id), body: JSON.stringify(item) }));
}

// Numbers keep their digits: JavaScript would round those above 2 ** 53.
function exact(_: string, value: unknown, { source }: { source: string }): unknown {
  return typeof value === 'number' ? JSON.rawJSON(source) : value;
}

function id(value: unknown): string {
  if (typeof value === 'string' && value.isWellFormed()) return value;
  if (JSON.isRawJSON(value) && /^-?\d+$/.test(value.rawJSON)) return value.rawJSON;
  return malformed('expected items with an id that is a string or an integer');
}

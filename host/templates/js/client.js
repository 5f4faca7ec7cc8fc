// A client of Oneflight: one request for each call. Sharing, limits and deadlines are the host's.

import { getEnvironment } from 'wasi:cli/environment@0.2.3';
import { fetch } from 'oneflight:client/fetch@0.1.0';

export const items = {
  getItems(x) {
    const { status, body } = get(`${baseUrl()}/${pathSegment(x)}`);
    switch (status) {
      case 200: return itemsOf(body);
      case 204: return [];
      case 404: return fail('not-found');
      // Without a number of seconds, callers get the Retry-After of the response.
      case 429: return fail('rate-limited');
      default: return fail('upstream-status', status);
    }
  },
};

// Ends the call with this error. Any other exception would be a crash of the client.
function fail(tag, val) {
  throw { tag, val };
}

function baseUrl() {
  const settings = new Map(getEnvironment());
  const url = settings.get('BASE_URL') ?? fail('other', 'expected the setting BASE_URL, got none');
  return url.replace(/\/+$/, '');
}

// The key as one segment of a path. Without encoding, a key could choose another path or add parameters, and even
// encoded, a segment of dots means another folder.
function pathSegment(key) {
  if (['', '.', '..'].includes(key)) fail('invalid-key', `expected a key that can be a segment of a path, got "${key}"`);
  return encodeURIComponent(key);
}

function get(url) {
  try {
    return fetch({ method: 'GET', url, headers: [['accept', 'application/json']] });
  } catch (error) {
    const { tag, val } = error.payload ?? error;
    fail(ERRORS[tag] ?? 'other', val ?? String(error));
  }
}

// The errors of `items` for those of `fetch`.
const ERRORS = {
  denied: 'denied',
  unavailable: 'upstream-unavailable',
  timeout: 'upstream-unavailable',
  'response-too-large': 'upstream-unavailable',
  malformed: 'upstream-malformed',
};

function itemsOf(body) {
  if (body.tag !== 'text') fail('upstream-malformed', 'expected UTF-8');
  let array;
  try {
    // A byte-order mark is no part of JSON, but some servers send it.
    array = JSON.parse(body.val.replace(/^\uFEFF/, ''), exact);
  } catch (error) {
    fail('upstream-malformed', String(error));
  }
  if (!Array.isArray(array)) fail('upstream-malformed', 'expected an array');
  return array.map((item) => ({ id: id(item?.id), body: JSON.stringify(item) }));
}

// Numbers keep their digits: JavaScript would round those above 2 ** 53.
function exact(_, value, { source }) {
  return typeof value === 'number' ? JSON.rawJSON(source) : value;
}

function id(value) {
  if (typeof value === 'string' && value.isWellFormed()) return value;
  if (JSON.isRawJSON(value) && /^-?\d+$/.test(value.rawJSON)) return value.rawJSON;
  return fail('upstream-malformed', 'expected items with an id that is a string or an integer');
}

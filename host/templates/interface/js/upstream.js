// Requests to the upstream.

import { getEnvironment } from 'wasi:cli/environment@0.2.3';
import { fetch } from 'oneflight:client/fetch@0.1.0';

// There is no response; `error` says why: { tag, val }, as `fetch` has it.
export class RequestFailed extends Error {
  constructor(error) {
    super(`${error.tag}: ${error.val}`);
    this.error = error;
  }
}

// Sends `GET BASE_URL/segment/...`, and returns the response with any status: { status, headers, body }.
export function get(...segments) {
  const base = new Map(getEnvironment()).get('BASE_URL') ?? invalid('expected the setting BASE_URL, got none');
  const url = [base.replace(/\/+$/, ''), ...segments.map(pathSegment)].join('/');
  try {
    return fetch({ method: 'GET', url, headers: [['accept', 'application/json']] });
  } catch (error) {
    throw new RequestFailed(error.payload ?? error);
  }
}

// An argument as one segment of a path. Without encoding, it could choose another path or add parameters, and even
// encoded, a segment of dots means another folder.
function pathSegment(argument) {
  const text = String(argument);
  if (['', '.', '..'].includes(text)) invalid(`expected an argument that can be a segment of a path, got "${text}"`);
  return encodeURIComponent(text);
}

function invalid(why) {
  throw new RequestFailed({ tag: 'invalid-request', val: why });
}

// Ends a call whose function is not written yet. Remove it when all of them are.
export function unfinished(name, response) {
  throw new Error(`${name} is not written yet: expected an answer from it in client.js, its request got a response with the status ${response.status}`);
}

// tests/guests/orders in JavaScript: each function makes one request to `BASE_URL` and converts the answer.
import { getEnvironment } from 'wasi:cli/environment@0.2.3';

// The `err` of a function is what it throws.
const fail = (tag, val) => { throw { tag, val }; };
const unavailable = (why) => fail('upstream-unavailable', String(why));
const malformed = (why) => fail('upstream-malformed', String(why));

export const version = () => '0.1.0';

export const orders = {
  async getOrder(tenant, id, parts, region) {
    const path = `/${segment(tenant)}/orders/${segment(id)}?region=${region ?? 'any'}`;
    const found = await send('GET', path);
    return {
      id: text(found?.id),
      region,
      lines: parts.lines ? list(found.lines ?? []).map(line) : [],
      payment: parts.payment ? payment(found) : { tag: 'unpaid' },
      history: parts.history ? list(found.history ?? []).map(step) : [],
    };
  },

  async listOpen(tenant) {
    return list(await send('GET', `/${segment(tenant)}/open`)).map(text);
  },

  async placeOrder(tenant, lines) {
    const skus = JSON.stringify(lines.map(({ sku }) => sku));
    return text(await send('POST', `/${segment(tenant)}/orders`, skus));
  },
};

const line = (found) => ({
  sku: text(found?.sku),
  quantity: Number(integer(found.quantity, 0n, 2n ** 32n - 1n)),
  price: { currency: text(found.currency), minor: integer(found.minor, -(2n ** 63n), 2n ** 63n - 1n) },
});

function payment({ card, transfer }) {
  if (card != null) return { tag: 'card', val: text(card) };
  if (transfer == null) return { tag: 'unpaid' };
  const [bank, number] = list(transfer);
  return { tag: 'transfer', val: [text(bank), integer(number, 0n, 2n ** 64n - 1n)] };
}

// The upstream has a failure as a negative code.
function step(found) {
  const step = integer(found, -(2n ** 16n - 1n), 2n ** 63n - 1n);
  return step < 0n ? { tag: 'err', val: Number(-step) } : { tag: 'ok', val: step };
}

// Sends a request, and returns what the body of the answer has as JSON.
async function send(method, path, body) {
  const url = new Map(getEnvironment()).get('BASE_URL') ?? unavailable('expected BASE_URL, got none');
  let status, bytes;
  try {
    const response = await fetch(url.replace(/\/+$/, '') + path, { method, body });
    status = response.status;
    bytes = await response.arrayBuffer();
  } catch (error) {
    unavailable(error);
  }
  if (status === 200) return parsed(bytes);
  if (status === 404) fail('not-found');
  if (status === 429) fail('rate-limited');
  if (status === 409) fail('sold-out', list(parsed(bytes)).map(text));
  unavailable(`status ${status}`);
}

// Integers are BigInts, from their digits: as a number, one above 2 ** 53 would be rounded.
function parsed(bytes) {
  const exact = (_, value, { source }) => typeof value === 'number' && /^-?\d+$/.test(source) ? BigInt(source) : value;
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes), exact);
  } catch (error) {
    malformed(error);
  }
}

// A value that does not fit its type would trap when it is returned, so these check it.
const text = (value) =>
  typeof value === 'string' && value.isWellFormed() ? value : malformed('expected a string');
const list = (value) => Array.isArray(value) ? value : malformed('expected an array');
const integer = (value, least, most) =>
  typeof value === 'bigint' && least <= value && value <= most ? value : malformed(`expected an integer up to ${most}`);

// RFC 3986, section 2.3: all but the unreserved characters are encoded. `fetch` and servers resolve the segments `.` and
// `..` even if they are encoded, and an empty one may stand for all orders.
function segment(text) {
  if (['', '.', '..'].includes(text)) fail('not-found');
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

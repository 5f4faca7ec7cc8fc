// The interfaces that the client imports and exports, as `wit/` has them, in TypeScript.

declare module 'oneflight:client/fetch@0.1.0' {
  export interface Request {
    method: string;
    url: string;
    headers: [string, string][];
    body: Body | undefined;
  }

  export interface Response {
    status: number;
    headers: [string, string][];
    body: Body;
  }

  export type Body = { tag: 'text'; val: string } | { tag: 'bytes'; val: Uint8Array };

  export interface FetchError {
    tag: 'invalid-request' | 'denied' | 'unavailable' | 'timeout' | 'malformed' | 'response-too-large';
    val: string;
  }

  /** Throws `{ payload: FetchError }`. */
  export function fetch(request: Request): Response;
}

declare module 'oneflight:client/items@0.1.0' {
  export interface Item {
    id: string;
    body: string;
  }

  export type Error =
    | { tag: 'not-found' }
    | { tag: 'upstream-status'; val: number }
    | { tag: 'rate-limited'; val: number | undefined }
    | { tag: 'invalid-key' | 'upstream-unavailable' | 'upstream-malformed' | 'denied' | 'other'; val: string };
}

declare module 'wasi:cli/environment@0.2.3' {
  export function getEnvironment(): [string, string][];
}

// Parts of JavaScript that the engine has and TypeScript does not know yet.
interface JSON {
  parse(text: string, reviver: (key: string, value: unknown, context: { source: string }) => unknown): unknown;
  rawJSON(text: string): { rawJSON: string };
  isRawJSON(value: unknown): value is { rawJSON: string };
}

import type { Gateway } from '../../main.ts';

export interface ApiAnswer {
  readonly status: number;
  /** Parsed; null where there is none. */
  readonly body: unknown;
  readonly location: string | null;
}

/** Asks a gateway's HTTP API; `path` is below `/api`. */
export type Ask = (method: string, path: string, body?: unknown) => Promise<ApiAnswer>;

export function apiOf(port: number, user: string = 'guest', password: string = 'guest'): Ask {
  const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  return async (method, path, body) => {
    const response = await fetch(`http://127.0.0.1:${port}/api${path}`, {
      method,
      // RabbitMQ's clients say so whether there is a body or not.
      headers: { authorization, 'content-type': 'application/json' },
      body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
    });
    const text = await response.text();
    return {
      status: response.status,
      body: text === '' ? null : JSON.parse(text),
      location: response.headers.get('location'),
    };
  };
}

/** The administrator's. */
export function apiOfGateway(gateway: Gateway): Ask {
  return apiOf(gateway.port('http'));
}

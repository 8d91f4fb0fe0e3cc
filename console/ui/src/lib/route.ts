// The address names what is looked at: #/asset/compressors/compressor-001?w=1209600000.

export interface Route {
  page: string;
  parts: string[];
  query: Record<string, string>;
}

/** parseRoute reads the part of an address after #. What is not understood is the first page. */
export function parseRoute(hash: string): Route {
  const text = hash.replace(/^#?\/?/, '');
  const cut = text.indexOf('?');
  const path = cut < 0 ? text : text.slice(0, cut);
  const parts = path.split('/').filter(Boolean).map(decode);
  const query: Record<string, string> = {};
  if (cut >= 0) for (const [k, v] of new URLSearchParams(text.slice(cut + 1))) query[k] = v;
  return { page: parts[0] ?? 'line', parts: parts.slice(1), query };
}

function decode(s: string): string {
  try {
    return decodeURIComponent(s);
  } catch {
    return s;
  }
}

/** link writes an address; parameters without a value are left out. */
export function link(page: string, parts: string[] = [], query: Record<string, string | undefined> = {}): string {
  const path = [page, ...parts].map(encodeURIComponent).join('/');
  const params = new URLSearchParams();
  for (const [k, v] of Object.entries(query)) if (v) params.set(k, v);
  const q = params.toString();
  return `#/${path}${q ? `?${q}` : ''}`;
}

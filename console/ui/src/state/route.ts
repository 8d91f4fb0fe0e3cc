import { signal } from '@preact/signals';
import { parseRoute } from '../lib/route.ts';

export const route = signal(parseRoute(location.hash));

addEventListener('hashchange', () => {
  route.value = parseRoute(location.hash);
});

/** go moves to an address; replace leaves no step back, for choices within a page. */
export function go(address: string, replace = false): void {
  if (replace) {
    history.replaceState(null, '', address);
    route.value = parseRoute(address);
  } else {
    location.hash = address.slice(1);
  }
}

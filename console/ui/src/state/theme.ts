import { effect, signal } from '@preact/signals';

export type Theme = 'auto' | 'dark' | 'light';

const system = matchMedia('(prefers-color-scheme: dark)');
const systemDark = signal(system.matches);
system.addEventListener('change', (e) => (systemDark.value = e.matches));

function remembered(): Theme {
  try {
    const t = localStorage.getItem('andon.theme');
    return t === 'dark' || t === 'light' ? t : 'auto';
  } catch {
    return 'auto';
  }
}

export const theme = signal<Theme>(remembered());
/** painted is the theme as it is seen; charts take their colours anew when it changes. */
export const painted = signal<'dark' | 'light'>('dark');

effect(() => {
  if (theme.value === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
  painted.value = theme.value === 'auto' ? (systemDark.value ? 'dark' : 'light') : theme.value;
  try {
    if (theme.value === 'auto') localStorage.removeItem('andon.theme');
    else localStorage.setItem('andon.theme', theme.value);
  } catch {
    // Not remembered, but used.
  }
});

/** turnTheme changes between dark and light; the system's own choice is what auto means. */
export function turnTheme(): void {
  const next = painted.value === 'dark' ? 'light' : 'dark';
  theme.value = next === (systemDark.value ? 'dark' : 'light') ? 'auto' : next;
}

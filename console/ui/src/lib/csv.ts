/** csv writes a table as RFC 4180: fields with commas, quotes or line ends are quoted. */
export function csv(columns: string[], rows: unknown[][]): string {
  const field = (v: unknown): string => {
    if (v == null) return '';
    const s = typeof v === 'object' ? JSON.stringify(v) : String(v);
    return /[",\r\n]/.test(s) ? `"${s.replaceAll('"', '""')}"` : s;
  };
  return [columns, ...rows].map((row) => row.map(field).join(',')).join('\r\n') + '\r\n';
}

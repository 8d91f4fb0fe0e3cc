// Columns of points that grow at the end, as charts draw them.

/**
 * Series holds points in order of time in typed arrays with room to grow. What comes twice replaces itself, what comes late is put where it
 * belongs, and beyond `most` points the oldest go.
 */
export class Series {
  times: Float64Array;
  columns: Float32Array[];
  private from = 0;
  private to = 0;

  constructor(
    width: number,
    private most = 20_000,
  ) {
    this.times = new Float64Array(256);
    this.columns = Array.from({ length: width }, () => new Float32Array(256));
  }

  get length(): number {
    return this.to - this.from;
  }

  get last(): number {
    return this.to > this.from ? this.times[this.to - 1]! : NaN;
  }

  get first(): number {
    return this.to > this.from ? this.times[this.from]! : NaN;
  }

  /** add takes in points, which are in order of time among themselves, and returns how many of them are new. */
  add(times: Float64Array, columns: Float32Array[]): number {
    let fresh = 0;
    for (let i = 0; i < times.length; i++) {
      if (this.put(times[i]!, columns, i)) fresh++;
    }
    if (this.length > this.most) this.from = this.to - this.most;
    return fresh;
  }

  private put(time: number, columns: Float32Array[], i: number): boolean {
    const late = this.length > 0 && time <= this.last;
    if (late) {
      const at = this.find(time);
      if (this.times[at] === time) {
        this.write(at, time, columns, i);
        return false;
      }
    }
    this.room();
    const at = late ? this.find(time) : this.to;
    this.times.copyWithin(at + 1, at, this.to);
    for (const c of this.columns) c.copyWithin(at + 1, at, this.to);
    this.to++;
    this.write(at, time, columns, i);
    return true;
  }

  private write(at: number, time: number, columns: Float32Array[], i: number): void {
    this.times[at] = time;
    for (let c = 0; c < this.columns.length; c++) this.columns[c]![at] = columns[c]?.[i] ?? NaN;
  }

  /** room makes space for one more at the end: by moving to the front what is left, or in arrays of twice the size. */
  private room(): void {
    if (this.to < this.times.length) return;
    const n = this.length;
    const size = n > this.times.length / 2 ? this.times.length * 2 : this.times.length;
    const move = <T extends Float64Array | Float32Array>(old: T, fresh: T): T => {
      fresh.set(old.subarray(this.from, this.to));
      return fresh;
    };
    this.times = move(this.times, new Float64Array(size));
    this.columns = this.columns.map((c) => move(c, new Float32Array(size)));
    this.from = 0;
    this.to = n;
  }

  /** find returns the index of the first point at or after time. */
  private find(time: number): number {
    let low = this.from;
    let high = this.to;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (this.times[mid]! < time) low = mid + 1;
      else high = mid;
    }
    return low;
  }

  /** window returns views of the points from one before `from` up to `to`, so that a line enters from the left edge. */
  window(from: number, to: number): { times: Float64Array; columns: Float32Array[] } {
    const a = Math.max(this.from, this.find(from) - 1);
    let b = this.find(to);
    while (b < this.to && this.times[b]! <= to) b++;
    return { times: this.times.subarray(a, b), columns: this.columns.map((c) => c.subarray(a, b)) };
  }

  /** at returns the index into times and columns of the newest point at or before time, -1 where there is none. */
  at(time: number): number {
    const i = this.find(time);
    if (i < this.to && this.times[i] === time) return i;
    return i > this.from ? i - 1 : -1;
  }
}

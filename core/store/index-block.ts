/**
 * 1024 positions of one queue: where their messages are in the journal. In memory a block is
 * numbers in a row, and so it is quick to change; a checkpoint has it as few bytes (a page), with a
 * summary, which is all that a start reads.
 *
 *     page    = for each message: (length − the one before) · transient · gap · elsewhere
 *               [positions passed]  [segment − the one before · offset − the end of the one before]
 *     summary = crc32 of the page u32 · [0, or the length and bits of what of the page is gone] ·
 *               messages · for each segment: segment − the one before · messages · bytes
 *
 * Numbers are varints, lowest seven bits first; what may be below zero is zigzag. Neighbours in the
 * journal of one length take a byte each. A summary leaves out what a restart forgets.
 *
 * A page is not written again for what is removed from it: its summary says what is gone.
 */
import { crc32 } from 'node:zlib';

export const BLOCK_POSITIONS = 1024;
/** Numbers for one message: segment (0: none), offset, length. */
export const STRIDE = 3;
/** In the length: the message is not durable, and forgotten by a restart. */
export const TRANSIENT = 2 ** 31;

/** Flags in front of a message in a page. */
const ELSEWHERE = 1;
const GAP = 2;
const FORGOTTEN = 4;
const FLAGS = 8;
/** The most that one message takes in a page. */
const MESSAGE_BYTES_MAX = 24;
const CRC_BYTES = 4;
/** No segment's number is as high. */
const ABOVE_SEGMENTS = 2 ** 31 - 1;

/** What a message's place in the journal is. */
export interface Location {
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
}

/** So much of a segment, or its removal, where messages and bytes are below zero. */
export type Use = (segment: number, messages: number, bytes: number) => void;

export class Block {
  /** Its first position. */
  readonly base: number;
  /** Null: not in memory, as the last checkpoint has it. */
  cells: Uint32Array | null = null;
  live = 0;
  /** The segments of its messages are among these. */
  low = ABOVE_SEGMENTS;
  high = 0;
  /** Of its page, as a signed number, which takes no memory of its own. */
  crc = 0;
  /** Changed since a checkpoint was last given it. */
  dirty = false;
  /** On its way to a checkpoint that is not safe yet. */
  taken = false;
  /** What was removed since its page was written, a bit for each position; null: nothing. */
  gone: Uint8Array | null = null;
  /** It has, or had, messages that its summary leaves out. */
  mixed = false;
  /** Its page is of an earlier process, whose transient messages are forgotten. */
  old = false;
  /** Asked for since it was last looked at for being given up. */
  used = false;

  constructor(base: number) {
    this.base = base;
  }
}

/** What a checkpoint is given of a block. */
export interface Encoded {
  /** Null: as it was. */
  readonly page: Buffer | null;
  readonly summary: Buffer;
}

const scratch = Buffer.allocUnsafeSlow(CRC_BYTES + BLOCK_POSITIONS * MESSAGE_BYTES_MAX);

/** Page and summary; the block is told the page's checksum, and its segments exactly. */
export function encoded(block: Block, cells: Uint32Array): Encoded {
  const writer = new VarintWriter(scratch, 0);
  let [segment, end, length, next] = [0, 0, 0, 0];
  for (let at = 0; at < cells.length; at += STRIDE) {
    const now = cells[at] ?? 0;
    if (now === 0) continue;
    const [offset, size, slot] = [cells[at + 1] ?? 0, cells[at + 2] ?? 0, at / STRIDE];
    const elsewhere = now !== segment || offset !== end;
    const flags = (elsewhere ? ELSEWHERE : 0) + (slot > next ? GAP : 0);
    const whole = flags + (size >= TRANSIENT ? FORGOTTEN : 0);
    writer.put(zigzag((size % TRANSIENT) - length) * FLAGS + whole);
    if (slot > next) writer.put(slot - next);
    if (elsewhere) {
      writer.put(zigzag(now - segment));
      writer.put(zigzag(offset - end));
    }
    [segment, length, next] = [now, size % TRANSIENT, slot + 1];
    end = offset + length;
  }
  const page = writer.take();
  block.crc = crc32(page) | 0;
  block.gone = null;
  return { page, summary: summaryOf(block, cells) };
}

/** Notes that the message at a position is gone from the page. */
export function markGone(block: Block, slot: number): void {
  block.gone ??= new Uint8Array(BLOCK_POSITIONS / 8);
  block.gone[slot >> 3] = (block.gone[slot >> 3] ?? 0) | (1 << (slot & 7));
}

/** The cells of a block's page, without what is gone. Null where it is not the block's. */
export function decoded(page: Buffer, block: Block): Uint32Array | null {
  if ((crc32(page) | 0) !== block.crc) return null;
  const cells = new Uint32Array(BLOCK_POSITIONS * STRIDE);
  const reader = new VarintReader(page, 0);
  let [segment, end, length, at] = [0, 0, 0, 0];
  while (reader.left) {
    const head = reader.take();
    length += unzigzag(Math.floor(head / FLAGS));
    if ((head & GAP) !== 0) at += reader.take() * STRIDE;
    if ((head & ELSEWHERE) !== 0) {
      segment += unzigzag(reader.take());
      end += unzigzag(reader.take());
    }
    const transient = (head & FORGOTTEN) !== 0;
    if (!transient || !block.old) {
      cells[at] = segment;
      cells[at + 1] = end;
      cells[at + 2] = length + (transient ? TRANSIENT : 0);
    }
    end += length;
    at += STRIDE;
  }
  if (block.gone !== null) clearGone(cells, block.gone);
  return at === cells.length ? cells : cells.slice(0, at);
}

/** A block as its summary tells of it, without its cells; `found` is told what it has where. */
export function summarized(base: number, summary: Buffer, found: Use): Block {
  const block = new Block(base);
  block.old = true;
  block.crc = summary.readInt32BE(0);
  const reader = new VarintReader(summary, CRC_BYTES);
  const gone = reader.raw(reader.take());
  if (gone.length > 0) block.gone = Uint8Array.from(gone);
  block.live = liveIn(summary);
  readSummary(summary, (segment, messages, bytes) => {
    block.low = Math.min(block.low, segment);
    block.high = Math.max(block.high, segment);
    found(segment, messages, bytes);
  });
  return block;
}

/** How many messages a summary tells of. */
export function liveIn(summary: Buffer): number {
  return behindGone(summary).take();
}

/** What a summary tells of each segment. */
export function readSummary(summary: Buffer, found: Use): void {
  const reader = behindGone(summary);
  reader.take();
  for (let segment = 0; reader.left; ) {
    segment += unzigzag(reader.take());
    const messages = reader.take();
    found(segment, messages, reader.take());
  }
}

/** What cells have in which segment: neighbours in one call. */
export function usesOf(cells: Uint32Array, found: Use): void {
  let [segment, messages, bytes] = [0, 0, 0];
  for (let at = 0; at < cells.length; at += STRIDE) {
    const now = cells[at] ?? 0;
    if (now === 0) continue;
    if (now !== segment && messages > 0) {
      found(segment, messages, bytes);
      [messages, bytes] = [0, 0];
    }
    segment = now;
    messages++;
    bytes += (cells[at + 2] ?? 0) % TRANSIENT;
  }
  if (messages > 0) found(segment, messages, bytes);
}

/** Removes what is not durable; returns how many messages are left. */
export function forgetTransient(cells: Uint32Array): number {
  let live = 0;
  for (let at = 0; at < cells.length; at += STRIDE) {
    if ((cells[at + 2] ?? 0) >= TRANSIENT) cells[at] = 0;
    if (cells[at] !== 0) live++;
  }
  return live;
}

export function locationAt(cells: Uint32Array, at: number): Location | null {
  const segment = cells[at] ?? 0;
  return segment === 0
    ? null
    : { segment, offset: cells[at + 1] ?? 0, length: (cells[at + 2] ?? 0) % TRANSIENT };
}

/** Cells that have a place for `at`. */
export function grown(cells: Uint32Array | null, at: number): Uint32Array {
  let length = Math.max(STRIDE * 8, 2 * (cells?.length ?? 0));
  while (length <= at) length *= 2;
  const larger = new Uint32Array(Math.min(length, BLOCK_POSITIONS * STRIDE));
  if (cells !== null) larger.set(cells);
  return larger;
}

/** A block's first position. */
export function baseOf(position: number): number {
  return position - (position % BLOCK_POSITIONS);
}

/** What of the page is there, as far as a restart does not forget it. */
export function summaryOf(block: Block, cells: Uint32Array): Buffer {
  const durable = cells.slice();
  const live = forgetTransient(durable);
  const uses = new Map<number, [messages: number, bytes: number]>();
  usesOf(durable, (segment, messages, bytes) => {
    const [before, bytesBefore] = uses.get(segment) ?? [0, 0];
    uses.set(segment, [before + messages, bytesBefore + bytes]);
  });
  [block.low, block.high] = [ABOVE_SEGMENTS, 0];
  usesOf(cells, (segment) => {
    block.low = Math.min(block.low, segment);
    block.high = Math.max(block.high, segment);
  });
  scratch.writeInt32BE(block.crc, 0);
  const writer = new VarintWriter(scratch, CRC_BYTES);
  writer.put(block.gone?.length ?? 0);
  if (block.gone !== null) writer.raw(block.gone);
  writer.put(live);
  let before = 0;
  for (const [segment, [messages, bytes]] of uses) {
    writer.put(zigzag(segment - before));
    writer.put(messages);
    writer.put(bytes);
    before = segment;
  }
  return writer.take();
}

function clearGone(cells: Uint32Array, gone: Uint8Array): void {
  for (const [index, bits] of gone.entries()) {
    for (let rest = bits; rest !== 0; rest &= rest - 1) {
      cells[(index * 8 + 31 - Math.clz32(rest & -rest)) * STRIDE] = 0;
    }
  }
}

/** Reads a summary from its number of messages on. */
function behindGone(summary: Buffer): VarintReader {
  const reader = new VarintReader(summary, CRC_BYTES);
  reader.raw(reader.take());
  return reader;
}

class VarintWriter {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  put(value: number): void {
    let rest = value;
    for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) {
      this.#bytes[this.#at++] = (rest % 0x80) + 0x80;
    }
    this.#bytes[this.#at++] = rest;
  }

  raw(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** A copy of everything up to here. */
  take(): Buffer {
    const copy = Buffer.allocUnsafeSlow(this.#at);
    this.#bytes.copy(copy, 0, 0, this.#at);
    return copy;
  }
}

class VarintReader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get left(): boolean {
    return this.#at < this.#bytes.length;
  }

  raw(length: number): Buffer {
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  take(): number {
    let [value, unit] = [0, 1];
    for (;;) {
      const byte = this.#bytes[this.#at++] ?? 0;
      if (byte < 0x80) return value + byte * unit;
      value += (byte - 0x80) * unit;
      unit *= 0x80;
    }
  }
}

/** Small numbers for small differences, whichever way: 0, −1, 1, −2, 2 … */
function zigzag(value: number): number {
  return value >= 0 ? value * 2 : -value * 2 - 1;
}

function unzigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

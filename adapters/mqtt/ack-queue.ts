/**
 * Publishes that wait for their fate. Fates come in any order; acknowledgements leave in the order
 * of the publishes [MQTT-4.6.0-2, MQTT-4.6.0-3]. Tags count up from 1.
 */
const WAITING = -1;
/** From here on the settled front is cut off the lists. */
const TRIM_COUNT = 1024;

export class AckQueue {
  readonly #emit: (packetId: number, qos: number, reason: number) => void;
  readonly #packetIds: number[] = [];
  readonly #qos: number[] = [];
  readonly #reasons: number[] = [];
  #head = 0;
  /** Tag of the entry at `#head`. */
  #firstTag = 1;

  constructor(emit: (packetId: number, qos: number, reason: number) => void) {
    this.#emit = emit;
  }

  /** How many wait. */
  get size(): number {
    return this.#packetIds.length - this.#head;
  }

  /** Answers the tag to settle it by. */
  add(packetId: number, qos: number): number {
    this.#packetIds.push(packetId);
    this.#qos.push(qos);
    this.#reasons.push(WAITING);
    return this.#firstTag + this.size - 1;
  }

  /** Whether a publish of this identifier still waits. */
  has(packetId: number): boolean {
    return this.#packetIds.indexOf(packetId, this.#head) >= 0;
  }

  settle(tag: number, reason: number): void {
    const at = this.#head + tag - this.#firstTag;
    if (this.#reasons[at] !== WAITING) return;
    this.#reasons[at] = reason;
    while (this.#head < this.#reasons.length) {
      const settled = this.#reasons[this.#head] as number;
      if (settled === WAITING) break;
      const packetId = this.#packetIds[this.#head] as number;
      const qos = this.#qos[this.#head] as number;
      this.#head++;
      this.#firstTag++;
      this.#emit(packetId, qos, settled);
    }
    if (this.#head === this.#reasons.length || this.#head >= TRIM_COUNT) this.#trim();
  }

  #trim(): void {
    if (this.#head === this.#reasons.length) {
      this.#packetIds.length = 0;
      this.#qos.length = 0;
      this.#reasons.length = 0;
    } else {
      this.#packetIds.splice(0, this.#head);
      this.#qos.splice(0, this.#head);
      this.#reasons.splice(0, this.#head);
    }
    this.#head = 0;
  }
}

/**
 * The safeguards of the protocol, and how to switch each one off: texts of `shared/` and what stands in their place.
 *
 * Each text must be there exactly once: a change of the code that moves a safeguard shows here, and cannot quietly turn its
 * test into one of nothing.
 */
export type Edit = { readonly file: string; readonly find: string; readonly replace: string }

export type Safeguard = {
  /** As `state-process.md` and SPEC.md name it. */
  readonly name: string
  readonly edits: readonly Edit[]
  /** Seed to begin with, where chance meets it late from the first one on. */
  readonly from?: number
}

const edit = (file: string, find: string, replace: string): Edit => ({ file, find, replace })

export const safeguards: readonly Safeguard[] = [
  {
    name: 'seals at all',
    edits: [
      edit(
        'shared/protocol/fencing.ts',
        'this.#seal(incarnation, missing as Seq, 0)',
        `{
          const fenced: Fenced = { seal: missing as Seq, byItself: false, low: undefined, seenAt: this.#context.now }
          this.#fenced.set(incarnation, fenced)
          this.#answer(incarnation, fenced)
        }`,
      ),
    ],
  },
  {
    name: 'seal at the first missing number (S2): behind the last one instead',
    edits: [edit('shared/protocol/fencing.ts', 'if (parsed.seq === missing) missing += 1', 'if (parsed.seq >= missing) missing = parsed.seq + 1')],
  },
  {
    name: 'end (S3): nobody looks for it',
    edits: [
      edit('shared/protocol/fencing.ts', 'if (bytes) this.#endFound(incarnation, bytes)\n      else this.#findFirstMissing(incarnation)', 'this.#findFirstMissing(incarnation)'),
      edit('shared/protocol/fencing.ts', "taken === 'ours' ? this.#ended(incarnation, seal) : this.#endFound(incarnation, taken)", 'this.#ended(incarnation, seal)'),
    ],
  },
  {
    name: 'create-only epoch records (E1): who finds one leads all the same',
    edits: [edit('shared/protocol/slot.ts', "if (taken !== 'ours') return this.#tryAgain()", '')],
  },
  {
    name: 'exact record number (E1): some take the one after',
    edits: [
      edit('shared/protocol/slot.ts', 'const cycle = ((before?.cycle ?? 0) + 1) as Cycle', 'const cycle = ((before?.cycle ?? 0) + 1 + Math.floor(scatteredMs(2, peers.incarnation, this.number))) as Cycle'),
      // Who leads must not stumble over the record that is not there: it is passed over.
      edit(
        'shared/protocol/slot.ts',
        `        this.#readEpoch(next-- as Cycle, (epoch) => {
          underWay -= 1
          epochs.push(epoch)
          more()
        })`,
        `        this.#parts.context.read(epochName(this.number, next-- as Cycle), (bytes) => {
          underWay -= 1
          if (bytes) epochs.push(decodeSmall('epoch', bytes))
          more()
        })`,
      ),
    ],
  },
  {
    name: 'ordered acknowledgement (B2)',
    edits: [edit('shared/protocol/leader-log.ts', "bundle.outcome = 'stored'\n", "bundle.outcome = 'stored'\n    for (const release of bundle.releases.splice(0)) release()\n")],
  },
  {
    name: 'a seal waits for what is under way before it (B2)',
    edits: [edit('shared/protocol/leader-log.ts', 'if (this.#underWay[0] === bundle) this.#parts.onFenced()', 'this.#parts.onFenced()')],
  },
  {
    name: 'final hand-over (H2): who has handed over goes on',
    edits: [edit('shared/protocol/slot.ts', "        this.status = 'idle'\n        peers.broadcast({ kind: 'leads-not', slot: this.number })\n        onLost(this)\n", "        this.status = 'leading'\n")],
  },
  {
    name: 'hand-over asked twice (H2): the second one hears that there is no part, and nothing of it is covered',
    edits: [
      // Two things keep it: what is covered by a checkpoint is not lost with its part.
      edit('shared/protocol/checkpoint.ts', 'if (!slot.checkpointing && slot.dirty.size === 0 && slot.inherited.length === 0) return then()', 'return then()'),
      edit('shared/protocol/slot.ts', 'this.#askers.clear()', 'this.#askers.clear()\n        this.#handedOver = undefined'),
    ],
  },
  {
    name: 'giving up a cycle by answering (H2)',
    edits: [
      edit(
        'shared/protocol/slot.ts',
        '    this.#never = Math.max(this.#never, cycle) as Cycle\n    this.#answerHandOver(from, cycle)',
        '    this.#answerHandOver(from, cycle)',
      ),
    ],
  },
  {
    name: 'only who is asked answers for its part (H3): the word of another life of the process counts too',
    edits: [edit('shared/protocol/slot.ts', 'if (answer.by !== leader) return this.#seal(leader, then)\n', '')],
  },
  {
    name: 'key window in ID files (W1)',
    edits: [edit('shared/protocol/checkpoint.ts', 'state.keys.packed(context.now.wallMs)', 'Buffer.alloc(0)')],
  },
  {
    name: 'ID files of committed states only (K1)',
    edits: [edit('shared/protocol/checkpoint.ts', 'log.whenStored(state.lastSeq, () =>\n', ';((run: () => void) => run())(() =>\n')],
  },
  {
    name: "the checkpoint's number is fixed before its ID files (K2)",
    edits: [edit('shared/protocol/checkpoint.ts', 'log.whenStored(seq, () => this.#published(slot, cycle, seq))', 'this.#published(slot, cycle, log.storedSeq)')],
  },
  {
    name: "the checkpoint's tail nobody asked for (K3)",
    edits: [edit('shared/protocol/checkpoint.ts', 'const waiting = [...ids]', 'const waiting: StateId[] = []')],
  },
  {
    name: 'repeats wait for storage (A7)',
    edits: [edit('shared/protocol/core.ts', 'if (result.repeat) return this.#log.whenStored(state.lastSeq, () => this.#answer(token, result.answer))', 'if (result.repeat) return this.#answer(token, result.answer)')],
  },
  {
    name: 'refusals and reads wait for storage (A7)',
    edits: [edit('shared/protocol/core.ts', '    this.#log.whenStored(state.lastSeq, () =>\n      this.#log.whenProven(() => {', '    ;((run: () => void) => run())(() =>\n      this.#log.whenProven(() => {')],
  },
  {
    name: "the successor's wait (L3)",
    edits: [edit('shared/protocol/slot.ts', 'const quietAtMs = fenced.byItself ? 0 : fenced.seenAt.monotonicMs + context.tuning.successorWaitMs', 'const quietAtMs = 0')],
  },
  {
    from: 2_001,
    name: 'what is left of the wait is passed on (L3), with leases three times as long',
    edits: [
      edit('shared/protocol/slot.ts', 'const waitMs = Math.max(0, this.quietAtMs - context.now.monotonicMs)', 'const waitMs = 0'),
      // The moments in which this shows are rare: longer ones are met more often.
      edit('shared/limits.ts', 'leaseMs: 1_000', 'leaseMs: 3_000'),
      edit('shared/limits.ts', 'successorWaitMs: 1_250', 'successorWaitMs: 3_750'),
    ],
  },
  {
    name: 'the proof of the lease (L1): it never runs out',
    edits: [edit('shared/protocol/leader-log.ts', 'return this.#proof !== undefined && elapsedMs(this.#proof, this.#parts.context.now) < this.#parts.context.tuning.leaseMs', 'return true')],
  },
  {
    name: 'the proof of the lease (L1): it begins when a put is acknowledged',
    edits: [edit('shared/protocol/leader-log.ts', 'if (first === bundle) this.#proven(sent)', 'if (first === bundle) this.#proven(this.#parts.context.now)')],
  },
  {
    name: 'elapsed time is the larger of two clocks (L2): the lease goes by the monotonic one alone',
    edits: [edit('shared/protocol/leader-log.ts', 'elapsedMs(this.#proof, this.#parts.context.now) <', 'this.#parts.context.now.monotonicMs - this.#proof.monotonicMs <')],
  },
  {
    name: 'elapsed time is the larger of two clocks (L2): the lease goes by the wall clock alone',
    edits: [edit('shared/protocol/leader-log.ts', 'elapsedMs(this.#proof, this.#parts.context.now) <', 'this.#parts.context.now.wallMs - this.#proof.wallMs <')],
  },
  {
    name: 'seals are kept (T1)',
    edits: [
      edit('shared/protocol/retention.ts', 'let keep = Math.max(1, seal - 1)', 'let keep = seal + 1'),
      edit('test/simulator/retention.ts', " && logObjectType(bytes) === 'bundle'", ''),
    ],
  },
  {
    name: 'only what checkpoints cover is deleted (D2)',
    edits: [edit('shared/protocol/retention.ts', 'keep = Math.min(keep, needed)', '')],
  },
  {
    name: 'what is not published is not deleted (D2)',
    edits: [edit('shared/protocol/retention.ts', 'const mark = checkpoints.get(slot)?.published', 'const mark = checkpoints.get(slot)')],
  },
  {
    name: 'the mark moves only when the fan-out has everything (O1)',
    edits: [edit('shared/protocol/publication.ts', 'if (!enabled) return then(true)', 'if (enabled || !enabled) return then(true)')],
  },
  {
    name: 'a new leader publishes what its predecessors left (O2)',
    edits: [edit('shared/protocol/slot.ts', 'this.unpublished = found.unpublished', 'this.unpublished = []')],
  },
  {
    name: 'what its predecessors left comes first (O2): new messages do not wait for it',
    edits: [edit('shared/protocol/publication.ts', 'if (backlog === undefined && !this.#isFull(1)) return this.#emit(slot, message)', 'if (!this.#isFull(1)) return this.#emit(slot, message)')],
  },
  {
    name: 'the low of a log is no further than the mark (K4)',
    edits: [edit('shared/protocol/checkpoint.ts', 'if (unmarkedFrom !== undefined && unmarkedFrom < low) low = unmarkedFrom', '')],
  },
  {
    name: 'what found no room is read from the log again (O4)',
    edits: [edit('shared/protocol/publication.ts', 'if (from === undefined) {', 'if (from === undefined || from > 0) {')],
  },
  {
    name: 'a log ends at its first seal (S1)',
    edits: [edit('shared/protocol/dead-log.ts', "if (object === 'seal') end = Math.min(end, piece.from) as Seq", "if (object === 'seal') continue")],
  },
]

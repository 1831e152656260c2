/** The tester tested: histories with one lie each, and the checker has to find it. */
import { expect, test } from '@jest/globals'
import { Book, FIRST, Track } from './support/book.ts'

/** Three acknowledged interactions; `a` and `b` are the second and third. */
function book(): Book {
  const book = new Book('s')
  for (const [at, token] of [FIRST, 'a', 'b'].entries()) {
    book.sending(token)
    book.acknowledged(token, { ii: at + 1, updated: 10 * at, replayed: false }, { isRepeat: false })
  }
  return book
}

const line = (ii: number, token: string): { ii: number; ts: number; token: string } => ({ ii, ts: ii, token })
const HISTORY = [line(1, FIRST), line(2, 'a'), line(3, 'b')]

test('a true history has no faults', () => {
  const it = book()
  const track = new Track(it, 'follower')
  track.state({ ii: 1, log: [] })
  track.patch(2, 'a')
  track.state({ ii: 2, log: ['a'] })
  track.patch(3, 'b')
  it.read({ ii: 3, log: ['a', 'b'] }, { floor: 3, by: 'reader' })
  it.acknowledged('a', { ii: 2, updated: 10, replayed: true }, { isRepeat: true })
  it.sending('c')
  it.abandon('c')
  it.settle({ ii: 3, log: ['a', 'b'] })
  it.finish({ ii: 3, log: ['a', 'b'] }, HISTORY)
  expect(it.faults).toEqual([])
})

const lies: Readonly<Record<string, (it: Book) => void>> = {
  'P4: an acknowledged interaction is lost at the end': (it) => it.finish({ ii: 2, log: ['a'] }, HISTORY.slice(0, 2)),
  'P4: an acknowledged interaction is replaced': (it) => {
    it.sending('c')
    it.finish({ ii: 3, log: ['a', 'c'] }, [...HISTORY.slice(0, 2), line(3, 'c')])
  },
  'P2: two acknowledgements of one index': (it) => {
    it.sending('c')
    it.acknowledged('c', { ii: 3, updated: 30, replayed: false }, { isRepeat: false })
  },
  'P2: the history is not what the state says': (it) => it.finish({ ii: 3, log: ['b', 'a'] }, HISTORY),
  'P3: a line of history is missing': (it) => it.finish({ ii: 3, log: ['a', 'b'] }, [HISTORY[0]!, HISTORY[2]!]),
  'P3: a read shows fewer tokens than interactions': (it) => it.read({ ii: 3, log: ['a'] }, { floor: 0, by: 'reader' }),
  'P6: a token is in the state twice': (it) => it.finish({ ii: 4, log: ['a', 'b', 'a'] }, [...HISTORY, line(4, 'a')]),
  'P6: a token is seen under a second index': (it) => it.saw(4, 'a', 'follower'),
  'P6: a repeat has another index': (it) => it.acknowledged('a', { ii: 4, updated: 10, replayed: true }, { isRepeat: true }),
  'P6: a repeat has another time': (it) => it.acknowledged('a', { ii: 2, updated: 11, replayed: true }, { isRepeat: true }),
  'P6: a repeat is not answered as one': (it) => it.acknowledged('a', { ii: 2, updated: 10, replayed: false }, { isRepeat: true }),
  'P6: what was sent once is answered as a repeat': (it) => {
    it.sending('c')
    it.acknowledged('c', { ii: 4, updated: 40, replayed: true }, { isRepeat: false })
  },
  'P7: a strong read is older than an acknowledgement before it': (it) => it.read({ ii: 2, log: ['a'] }, { floor: it.floor, by: 'reader' }),
  'P7: a strong read is older than what a refusal told': (it) => {
    it.sawIndex(5)
    it.read({ ii: 3, log: ['a', 'b'] }, { floor: it.floor, by: 'reader' })
  },
  'P1: what a reader saw is not there in the end': (it) => {
    it.sending('c')
    it.read({ ii: 4, log: ['a', 'b', 'c'] }, { floor: 0, by: 'reader' })
    it.abandon('c')
    it.finish({ ii: 3, log: ['a', 'b'] }, HISTORY)
  },
  'P4: an unknown outcome was out, and comes in': (it) => {
    it.sending('c')
    it.abandon('c')
    it.settle({ ii: 3, log: ['a', 'b'] })
    it.saw(4, 'c', 'follower')
  },
  'P4: a refused patch comes in': (it) => {
    it.sending('c')
    it.refused('c', '412')
    it.finish({ ii: 4, log: ['a', 'b', 'c'] }, [...HISTORY, line(4, 'c')])
  },
  'P4: what somebody saw is refused': (it) => {
    it.sending('c')
    it.saw(4, 'c', 'follower')
    it.refused('c', '503 stored: false')
  },
  'a token that nobody sent': (it) => it.finish({ ii: 4, log: ['a', 'b', 'x'] }, [...HISTORY, line(4, 'x')]),
  'P3: a follower misses an interaction': (it) => {
    const track = new Track(it, 'follower')
    track.state({ ii: 1, log: [] })
    track.patch(3, 'b')
  },
  'P3: a follower gets an interaction twice': (it) => {
    const track = new Track(it, 'follower')
    track.state({ ii: 2, log: ['a'] })
    track.patch(3, 'b')
    track.patch(3, 'b')
  },
  'P3: a follower is set back': (it) => {
    const track = new Track(it, 'follower')
    track.state({ ii: 3, log: ['a', 'b'] })
    track.state({ ii: 2, log: ['a'] })
  },
  'P2: a follower is shown another interaction': (it) => {
    const track = new Track(it, 'follower')
    track.state({ ii: 1, log: [] })
    it.sending('c')
    track.patch(2, 'c')
  },
  'time goes back in the history': (it) => it.finish({ ii: 3, log: ['a', 'b'] }, [HISTORY[0]!, { ...HISTORY[1]!, ts: 9 }, HISTORY[2]!]),
  'the test did not wait for an answer': (it) => {
    it.sending('c')
    it.finish({ ii: 3, log: ['a', 'b'] }, HISTORY)
  },
}

test.each(Object.entries(lies))('%s', (title, lie) => {
  const it = book()
  lie(it)
  expect(it.faults).not.toEqual([])
  const promise = /^P\d/.exec(title)?.[0]
  if (promise !== undefined) expect(it.faults.join('\n')).toContain(`${promise}:`)
})

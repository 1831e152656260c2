const LOOK_MS = 250

/** npm that was killed outright tells nobody: without it nothing would ever stop this process. */
export function whenOrphaned(then: () => void): void {
  const parent = process.ppid
  const look = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(look)
    then()
  }, LOOK_MS).unref()
}

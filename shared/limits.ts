import { assert } from '#shared/assert.ts'

/** Every bound of the system in one place, the unit last in its name; relations are asserted below. */
export const limits = {
  /** Request body of any route. */
  bodyBytes: 1024 * 1024,
  /** A state's document as JSON. */
  stateBytes: 8 * 1024 * 1024,
  /** Nesting of arrays and objects, of a request body as of a state's document. */
  nestingLevels: 256,
  /** Idempotency-Key header. */
  keyCharacters: 128,
  /** A scope's name, percent-decoded. */
  nameBytes: 1024,
  domainCharacters: 253,
  userCharacters: 253,

  /** The key window of a state keeps at least this many keyed interactions ... */
  keyWindowInteractions: 1024,
  /** ... and at least those of this time. */
  keyWindowMs: 60_000,
  /** A key that the api made for itself guards its own retries only: the request deadline many times over. */
  mintedKeyWindowMs: 15_000,

  /** A repeat that comes later than this does not run the post-persistence handler again: its agent's keys may be forgotten. */
  handlerRepeatMs: 45_000,

  /** A request that found no leader or no storage within this time answers 503. */
  requestDeadlineMs: 5_000,
  /** Requests that one process has not answered yet; past them: "overloaded". */
  requestsOpen: 40_000,
  /** How long a tracked read waits for `min_ii`. */
  minIiWaitMs: 2_000,

  /** One lease: how long a proof that no seal stood lets strong reads be answered. */
  leaseMs: 1_000,
  /** Who sealed a leader answers nothing for its slots before this has passed: 1.25 leases. */
  successorWaitMs: 1_250,
  heartbeatMs: 250,
  /** Owners of a slot, fewer if fewer are active. */
  owners: 3,
  /** A member whose record has not changed for this long, and that no link reaches, is taken for dead. */
  memberStaleMs: 1_500,
  voteWaitMs: 500,
  /** Each later owner in ring order waits this much longer before it stands. */
  rankWaitMs: 150,
  /** Pause before a candidate looks again at what it could not end or win. */
  candidacyPauseMs: 200,
  candidacyTries: 15,
  /** After so many, a leader that cannot be reached is sealed although its record in the directory is fresh. */
  lastResortTries: 10,
  handOverWaitMs: 3_000,
  /** Hand-overs of one process under way at once. */
  handOvers: 8,
  /** A process that stops has this long to hand over; then it seals what it has. */
  drainMs: 6_000,
  /** How often a leader looks whether its slots belong elsewhere. */
  rebalanceMs: 1_000,
  /** How often a member renews its record in the directory. */
  directoryHeartbeatMs: 500,
  readyLookMs: 20,

  /** A bundle closes when it holds this much, even if a put is under way. */
  bundleBytes: 4 * 1024 * 1024,
  bundleInteractions: 4_096,
  /** Puts of bundles under way at once. */
  bundlePuts: 3,
  /** Where a bundle and what gathers behind it hold so many interactions, the next bundle waits for most of as many again ... */
  paceInteractions: 8,
  /** ... but not longer than this. */
  paceMs: 2,
  /** Interactions and bytes that wait for storage in one process; past them: "overloaded". */
  waitingInteractions: 20_000,
  waitingBytes: 64 * 1024 * 1024,
  /** A link is given up after two silences of this length, or when this much waits for it. */
  linkPulseMs: 2_000,
  linkBufferBytes: 64 * 1024 * 1024,
  linkHelloMs: 2_000,
  linkRedialMs: 100,
  /** First and longest pause before a put whose outcome is not known, or that failed, is sent again. */
  storageRetryFirstMs: 50,
  storageRetryMaxMs: 2_000,

  /** Messages that the fan-out has not taken, in number and bytes: slots that find no room are read from the log again. */
  unpublishedMessages: 50_000,
  unpublishedBytes: 64 * 1024 * 1024,
  /** New messages of one slot that wait in memory until what comes before them is on its way. */
  heldMessages: 1_000,
  /** How long a checkpoint waits for the fan-out; then it says that less is published than covered. */
  publishedWaitMs: 2_000,
  /** What is handed to the fan-out at once, in messages and bytes of patches, or one message. */
  publicationMessages: 1_000,
  publicationBytes: 4 * 1024 * 1024,
  /** First and longest pause before what the fan-out did not take is handed over again. */
  publicationRetryFirstMs: 100,
  publicationRetryMaxMs: 10_000,

  /** A slot is checkpointed when its interactions since the last checkpoint reach this, ... */
  slotTailInteractions: 16_384,
  slotTailBytes: 4 * 1024 * 1024,
  /** ... or the oldest of them this age; all slots together are kept below `logTailBytes`. */
  slotTailAgeMs: 60_000,
  logTailBytes: 128 * 1024 * 1024,
  /** A log with this many bundles is ended by its own process, which goes on under a new incarnation. */
  logObjects: 500_000,
  /** ID files and checkpoint records under way at once. */
  checkpointPuts: 4,
  /** Behind each ID file the next one waits this long, and longer by its size, up to the other, while nothing is near its bound. */
  checkpointPauseMs: 4,
  checkpointBytesPerMs: 16 * 1024,
  checkpointPauseMaxMs: 50,
  /** This many bundles, then this many segments of one size, are merged into one segment ... */
  segmentFanIn: 16,
  /** ... once more bundles than this stand alone. */
  looseBundles: 24,
  /** Objects of one dead log that a recovery may have to read. */
  recoveryObjects: 64,

  /** Rows that could not be written to the mirror are tried again after this, so many states at once. */
  mirrorHealMs: 500,
  mirrorHealStates: 500,
  /** What was written within this time may be lost in a crash of Postgres: three times the longest pause of its WAL writer, and more. */
  mirrorRecentMs: 3_000,
  /** A row that Postgres refuses, as while a configuration changes its table, is tried again so often, after this pause. */
  mirrorTries: 8,
  mirrorRetryMs: 250,
  /** New states are added to the index of states after this, so many in one statement. */
  stateIndexMs: 200,
  stateIndexRows: 2_000,
  /** States that are read and written at once when tables are filled. */
  fillStates: 500,
  /** Between tries of a step of a reconfiguration that Postgres does not answer. */
  configureRetryMs: 1_000,
  /** A reconfiguration that has not ended so long after it began is taken for abandoned where processes come and go. */
  configureAbandonedMs: 900_000,
  /** A domain's report names values that did not fit at most this often. */
  misfitReportMs: 2_000,
  /** A domain's report takes what handlers log at most this often; it keeps so many lines, cut at so many characters. */
  domainLogMs: 1_000,
  domainLogLines: 100,
  domainLogCharacters: 1_000,
  /** A pre-persistence handler is run so often for one patch when the state moves on. */
  judgements: 5,
  /** A claim is proved within this time, looked for this often; a look takes at most this long, an answer this much. */
  claimMs: 300_000,
  claimLookMs: 5_000,
  claimLookTimeoutMs: 4_000,
  claimAnswerBytes: 4_096,
  /** Claims of one process that wait for their proof; past them: 503. */
  claimsOpen: 1_000,

  /** An uploaded file, unless the deployment sets another bound. */
  uploadBytes: 100 * 1024 * 1024,
  /** How long a signed address of an upload or a download is good. */
  uploadAddressMs: 15 * 60_000,
  /** Uploads that one process takes at once; past them: 503. */
  uploadsOpen: 256,
  /** A process that stops lets uploads and downloads go on for this long. */
  uploadDrainMs: 2_000,

  /** One request to Cloud Storage or Firestore, up to the head of its answer; without one it is unknown what it did. */
  storageRequestMs: 5_000,
  /** Content that is being read from Cloud Storage is given up after a silence of this length. */
  storageSilenceMs: 5_000,

  /** States held in memory by one process; the least recently used clean ones go first. */
  trackedStates: 200_000,
  /** A tracked copy that nobody has asked for within this time is given up. */
  copySweepMs: 30_000,
  /** Interactions that a history page carries at most. */
  historyPageInteractions: 1_000,
  historyPageBytes: 1024 * 1024,

  /** What a follower may have waiting in its socket before it is cut off. */
  followerBufferBytes: 4 * 1024 * 1024,
  streamKeepAliveMs: 15_000,

  /** A domain's module: what it takes to load, as a call of a handler does; its handlers' calls open at once, and waiting. */
  moduleBytes: 1024 * 1024,
  handlersOpen: 64,
  handlersWaiting: 2_048,
  /** What a domain has computed counts half so much in whose turn it is after this. */
  turnMemoryMs: 1_000,
  /** Turns beyond the usual ones, for domains that have computed far less than those who have these. */
  coolTurns: 2,
  /** A call that waits longer than this for its turn, or for a domain worker to be there, is not run. */
  handlerWaitMs: 2_000,
  /** What the api waits for the domain worker's word at most, all its repeats of a call included. */
  handlerAnswerMs: 10_000,
  /** So often a call is run: again when another call of its domain ended the sandbox that it was in. */
  handlerRuns: 3,
  /** Calls and characters that a sandbox takes in one step, and what may come out of one. */
  stepCalls: 64,
  stepCharacters: 1024 * 1024,
  stepOutCharacters: 16 * 1024 * 1024,
  /** Steps shorter than this let the next take more calls at once, longer than the other let it take fewer. */
  stepShortMs: 5,
  stepLongMs: 20,
  /** A step of several calls that takes this long is broken off, and its calls are run one by one: one of them is at fault. */
  stepDoubtMs: 200,
  /** How often running sandboxes are looked at. */
  sandboxLookMs: 20,
  /** A sandbox without a call for this long is ended. */
  sandboxIdleMs: 60_000,
  /** Of one handler call: lines, characters of a line, characters of a message. */
  handlerLogLines: 100,
  handlerLogCharacters: 1_000,
  handlerMessageCharacters: 2_000,
  /** Modules that an api has told a domain worker of, on one link. */
  modulesTold: 256,

  /** A domain agent computes for so long at a stretch, or so long while others wait for a turn; then it is ended. */
  domainAgentStepMs: 6_000,
  domainAgentSliceMs: 1_000,
  /** Of messages and timers that are due, it takes what fits into this time in one step. */
  domainAgentTurnsMs: 25,
  /** Its timers; none is shorter than this, and neither is the pause between turns that it takes by itself. */
  domainAgentTimers: 10_000,
  domainAgentTimerMs: 2,
  /** Silence after which it gets a heartbeat; it is ended if it has not answered that by the next. */
  domainAgentBeatMs: 5_000,
  /** Its connections, and characters of a connection's id. */
  domainAgentConnections: 64,
  domainAgentConnectionCharacters: 64,
  /** What may come out of one step of it. Its messages go on at a pace, so many and so many characters at once; meanwhile it has no turn. */
  domainAgentOutCharacters: 4 * 1024 * 1024,
  domainAgentPaceMs: 50,
  domainAgentPaceMessages: 100,
  domainAgentPaceCharacters: 256 * 1024,
  /** One of its messages; messages, and their characters, that wait for it: past them it is ended. */
  domainAgentMessageCharacters: 1024 * 1024,
  domainAgentMessagesWaiting: 20_000,
  domainAgentCharactersWaiting: 8 * 1024 * 1024,
  /** States by which it knows of each session what it was told. */
  domainAgentChildStates: 256,
  /** What it is told of sessions waits so long for its top level to be done, once it is ready. */
  domainAgentSettleMs: 1_000,
  /** Pause before one that has ended is started again: doubled each time, from the beginning after it ran for the longest. */
  domainAgentRestartFirstMs: 250,
  domainAgentRestartMaxMs: 60_000,
  /** One that another module took the place of is started again after this, if its own is still in force then. */
  domainAgentReplacedMs: 5_000,

  bearerDays: 30,
  /** How old the copy of a session record may be that a bearer is checked against. */
  sessionCopyMs: 2_000,
  /** An opening, or an end, of a session waits at most so long until it is noted for the schedule. */
  sessionNotedMs: 2_000,
  /** Uses of sessions are noted for the schedule after this; ends that were begun this long ago are taken over by it. */
  sessionUseMs: 30_000,
  sessionEndingMs: 60_000,
  /** Sessions that one run of the schedule ends, domains whose sessions it ends at once, and for how long those of one. */
  sessionsClosed: 500,
  sessionClosings: 8,
  sessionClosingMs: 30_000,
  /** Close scripts of one session; what of an id and a name is kept with what they came to. */
  closeScripts: 32,
  closeScriptCharacters: 256,
  /** A session without a request or an open stream for this long is silent. */
  sessionSilenceMs: 3_600_000,

  /** Published agents: silence after which a connection gets a heartbeat (clients give up after 10 s), and how often that is looked at. */
  agentHeartbeatMs: 5_000,
  agentLookMs: 1_000,
  /** A new connection has this long for its first message. */
  agentGreetingMs: 10_000,
  /** A session without a connection ends after this. */
  agentResumeMs: 60_000,
  /** Sessions, and connections, of one process; past them new ones are refused. */
  agentSessions: 20_000,
  agentConnections: 40_000,
  /** Messages of one session that are not answered yet, subscriptions of one, bytes of answers that its client has not acknowledged: past them it ends. */
  agentMessagesOpen: 10_000,
  agentSubscriptions: 10_000,
  agentAnswerBytes: 16 * 1024 * 1024,
  /** Updates that a resumed session may have missed, of one state. */
  agentReplayUpdates: 20_000,
  /** Updates of one followed state that are kept at hand, in number and characters; older ones are read from its history. */
  agentRecentUpdates: 256,
  agentRecentCharacters: 256 * 1024,
  /** An answer waits at most this long for the update that it must come after. */
  agentEchoMs: 5_000,
  /** What a session's client has taken is kept for other processes after this, or after so many messages; so many states at once. */
  agentKeepMs: 20_000,
  agentKeepMessages: 256,
  agentKeepStates: 1_000,
  /** Older updates are not read for a connection that has so much to take; one that takes nothing for this long is cut off. */
  agentReplayBytes: 1024 * 1024,
  agentStallMs: 30_000,
  agentDrainLookMs: 20,
  /** What cannot be stored or read now is tried so often, with pauses that grow from the one to the other. */
  agentTries: 20,
  agentRetryFirstMs: 100,
  agentRetryMaxMs: 2_000,
  /** The secret of a browser, as its client sends it. */
  agentSidCharacters: 256,
  /** What an OAuth provider may take to exchange a code, and send. */
  codeExchangeMs: 5_000,
  codeAnswerBytes: 64 * 1024,
} as const

assert(limits.leaseMs > 2 * limits.heartbeatMs, 'a lease must outlast lost heartbeats')
assert(limits.memberStaleMs > 2 * limits.directoryHeartbeatMs, 'a live member must not look dead for one late record')
assert(limits.successorWaitMs >= 1.25 * limits.leaseMs, 'a successor must outwait the lease of the sealed leader')
assert(limits.mintedKeyWindowMs > 2 * limits.requestDeadlineMs, 'a minted key must outlive the retries it guards')
assert(limits.handlerRepeatMs + limits.handlerAnswerMs < limits.keyWindowMs, 'what a repeated handler does must be known by its keys')
assert(limits.mintedKeyWindowMs <= limits.keyWindowMs, 'a minted key needs no longer window than a client key')
assert(limits.requestsOpen > limits.waitingInteractions, 'reads must not starve while writes wait for storage')
assert(limits.bodyBytes <= limits.bundleBytes, 'any patch must fit into a bundle')
assert(limits.bundleBytes <= limits.waitingBytes, 'a full bundle must be allowed to wait')
assert(limits.bodyBytes <= limits.stateBytes, 'a whole body must fit into a state')
assert(limits.historyPageBytes >= limits.bodyBytes, 'any one interaction must fit into a history page')
assert(
  limits.looseBundles + limits.segmentFanIn + 2 * (limits.segmentFanIn - 1) <= limits.recoveryObjects + limits.segmentFanIn,
  'loose bundles and two full tiers of segments must stay below what a recovery may read',
)
assert(limits.handlerWaitMs < limits.handlerAnswerMs, 'a call must have time to run after it waited')
assert(limits.stepDoubtMs > limits.stepLongMs, 'a step of several calls must get shorter before it is broken off')
assert(limits.sessionEndingMs > limits.sessionUseMs + limits.handlerAnswerMs, 'an end that goes on must not look abandoned while one script runs')
assert(limits.moduleBytes <= limits.linkBufferBytes, 'a module must fit into a link')
assert(2 * limits.agentReplayBytes + limits.historyPageBytes <= limits.followerBufferBytes, 'who is sent older updates must not be cut off for it')
assert(limits.agentKeepMs + limits.agentRetryMaxMs < limits.keyWindowMs, 'messages that another process is sent again must be known by their keys')
assert(limits.agentKeepMessages < limits.keyWindowInteractions, 'messages of one session that are sent again must be known by their keys')
assert(limits.domainAgentMessageCharacters < limits.domainAgentOutCharacters, 'any message must fit into a step')
assert(limits.domainAgentBeatMs < 10_000, 'a heartbeat must come before the agent of a script gives its connection up')
assert(limits.agentHeartbeatMs + limits.agentLookMs < 10_000, 'a heartbeat must come before published agents give a connection up')

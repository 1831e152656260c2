import { startBareServer } from './bare-http.ts'
import type { Subject } from './subject.ts'

/** The same server, answering after append + fdatasync with group commit: the limit of any durable one. */
export const bareLog: Subject = {
  name: 'bare-log',
  start: (workshop) => startBareServer(workshop, 'bare-log', [workshop.path('bare.log')]),
}

/** The thread of one sandbox: an engine, asked by messages. What the module does may never end: then the thread is ended. */
import { parentPort, workerData } from 'node:worker_threads'
import { Engine } from './engine.ts'
import type { EngineOptions } from './engine.ts'

const engine = await Engine.make(workerData as EngineOptions)
const port = parentPort!
port.on('message', (message: { readonly load: string } | { readonly step: string }) => {
  port.postMessage('load' in message ? engine.load(message.load) : engine.step(message.step))
})
port.postMessage('ready')

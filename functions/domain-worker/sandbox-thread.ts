/** The thread of one sandbox: an engine, and the port through which it is asked. A text is a step, an object a module. */
import { parentPort, workerData } from 'node:worker_threads'
import { Engine, type EngineOptions } from './engine.ts'

const port = parentPort!
const engine = await Engine.make(workerData as EngineOptions)
port.on('message', (message: string | { readonly source: string }) => {
  port.postMessage(typeof message === 'string' ? engine.step(message) : engine.load(message.source))
})
port.postMessage('ready')

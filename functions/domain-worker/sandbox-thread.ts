/**
 * The thread of one sandbox: an engine, and the port through which it is asked. A text is a step, an object a module, or a step
 * of a domain agent.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { Engine, type EngineOptions } from './engine.ts'
import type { SandboxRequest } from './sandbox.ts'

const port = parentPort!
const engine = await Engine.make(workerData as EngineOptions)

function answer(request: SandboxRequest): unknown {
  if (typeof request === 'string') return engine.step(request, undefined)
  if (request.kind === 'step') return engine.step(request.text, request.messages)
  return request.runs ? engine.begin(request.source) : engine.load(request.source)
}

port.on('message', (request: SandboxRequest) => port.postMessage(answer(request)))
port.postMessage('ready')

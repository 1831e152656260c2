/** The variables that Terraform sets, by part. A state process has two more beside the table. */
import { configuration, members, type Body } from './configuration.ts'

export async function variablesByPart(): Promise<Readonly<Record<string, readonly string[]>>> {
  const { locals, resources } = await configuration('terraform')
  const [environment, secrets] = [locals['environment'] as Body, locals['secrets'] as Body]
  const stateProcess = JSON.stringify(resources.find(({ name }) => name === 'state_process')?.body)
  const own = ['PROCESS_NAME', 'ADDRESS'].filter((name) => stateProcess.includes(`${name} = `))
  return Object.fromEntries(
    Object.keys(environment).map((part) => [part, [...members(environment[part], locals), ...(secrets[part] === undefined ? [] : members(secrets[part])), ...(part === 'state-process' ? own : [])]]),
  )
}

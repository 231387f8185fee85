// The TypeScript SDK v1: list, call with progress, elicitation; by the handshake.
import assert from 'node:assert/strict'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js'

const client = new Client({ name: 'sdk-v1', version: '1' }, { capabilities: { elicitation: {} } })
client.setRequestHandler(ElicitRequestSchema, async () => ({
  action: 'accept',
  content: { username: 'ann', email: 'ann@example.com' },
}))
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2])))
const { tools } = await client.listTools()
assert(tools.some((tool) => tool.name === 'greet'))

const heard = []
const onprogress = ({ progress }) => heard.push(progress)
await client.callTool({ name: 'test_tool_with_progress', arguments: {} }, undefined, { onprogress })
assert(heard.length > 0 && heard.every((number, at) => at === 0 || number > heard[at - 1]))

const result = await client.callTool({ name: 'test_elicitation', arguments: { message: 'Who?' } })
assert.match(JSON.stringify(result.content), /ann@example\.com/)
await client.close()
console.log('passed')

// The TypeScript SDK v2: the era by its own choice, list, call with progress, questions by another round.
import assert from 'node:assert/strict'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'

const client = new Client(
  { name: 'sdk-v2', version: '1' },
  { capabilities: { elicitation: {} }, versionNegotiation: { mode: 'auto' } },
)
client.setRequestHandler('elicitation/create', async () => ({
  action: 'accept',
  content: { username: 'ann', email: 'ann@example.com' },
}))
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2])))
assert.equal(client.getNegotiatedProtocolVersion(), '2026-07-28')
const { tools } = await client.listTools()
assert(tools.some((tool) => tool.name === 'greet'))

const heard = []
const onprogress = ({ progress }) => heard.push(progress)
await client.callTool({ name: 'test_tool_with_progress', arguments: {} }, { onprogress })
assert(heard.length > 0 && heard.every((number, at) => at === 0 || number > heard[at - 1]))

const result = await client.callTool({ name: 'test_elicitation', arguments: { message: 'Who?' } })
assert.match(JSON.stringify(result.content), /ann@example\.com/)
await client.close()
console.log('passed')

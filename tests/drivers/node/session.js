// Drives node-postgres against the server that PGHOST and PGPORT name; prints "ok: STEP" for each step that gave what it must.
// The one argument is the directory of its packages. PGUSER need not be the user that the session runs as, which is in EXPECTED_USER.
'use strict'
const assert = require('node:assert/strict')
const path = require('node:path')
const pg = require(path.join(process.argv[2], 'pg'))

const ok = step => console.log(`ok: ${step}`)
const value = async (client, ...query) => Object.values((await client.query(...query)).rows[0])[0]

async function main() {
  const client = new pg.Client()
  await client.connect()
  assert.equal(await value(client, 'SELECT current_user::text'), process.env.EXPECTED_USER)
  ok('user')

  for (const n of [0, 1, 2]) {
    assert.equal(await value(client, { name: 'double', text: 'SELECT $1::int * 2', values: [n] }), 2 * n)
  }
  ok('prepared')

  await assert.rejects(client.query('SELECT 1/0'), { code: '22012', severity: 'ERROR' })
  assert.equal(await value(client, 'SELECT 1'), 1)
  ok('error')

  await client.query('BEGIN')
  await client.query('CREATE TABLE gone (n int)')
  await client.query('ROLLBACK')
  assert.equal(await value(client, "SELECT to_regclass('gone')::text"), null)
  ok('transaction')

  const large = '0123456789abcdef'.repeat(1 << 16)
  assert.ok((await value(client, 'SELECT $1::text', [large])) === large)
  ok('large')

  const other = new pg.Client()
  await other.connect()
  const news = new Promise(resolve => client.once('notification', resolve))
  await client.query('LISTEN node_news')
  await other.query("NOTIFY node_news, 'hello'")
  assert.equal((await news).payload, 'hello')
  ok('notify')

  const pool = new pg.Pool({ max: 20 })
  const answers = await Promise.all(Array.from({ length: 200 }, (_, n) => value(pool, 'SELECT $1::int', [n])))
  assert.deepEqual(answers, Array.from({ length: 200 }, (_, n) => n))
  await pool.end()
  ok('concurrent')

  await client.end()
  await other.end()
}

setTimeout(() => { console.error('not done after two minutes'); process.exit(1) }, 120_000).unref()
main().catch(error => { console.error(error); process.exit(1) })

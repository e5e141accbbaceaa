// Drives mysql2 and prints "ok: STEP" for each step that gave what it must. The one argument is the directory of its packages.
// The environment is that of ../python/mysql_steps.py.
'use strict'
const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const mysql = require(path.join(process.argv[2], 'mysql2/promise'))

const { DB_HOST, DB_PORT, DB_SOCKET, DB_USER, DB_PASSWORD, DB_NAME, DB_TLS, DB_WITHOUT, EXPECTED_USER } = process.env
const place = DB_SOCKET ? { socketPath: DB_SOCKET } : { host: DB_HOST, port: Number(DB_PORT) }
const options = {
  ...place,
  user: DB_USER,
  password: DB_PASSWORD,
  database: DB_NAME,
  ssl: DB_TLS === 'on' ? { rejectUnauthorized: false } : undefined,
  connectAttributes: { program_name: 'driven' },
  multipleStatements: true
}
const connect = more => mysql.createConnection({ ...options, ...more })
const value = async (client, ...query) => Object.values((await client.query(...query))[0][0])[0]
const LARGE = 20 * 1024 * 1024 // more than a packet holds, so it comes in several
const LINES = 10_000

const steps = {
  user: async client => assert.equal(await value(client, 'SELECT CURRENT_USER()'), EXPECTED_USER),

  database: async client => assert.equal(await value(client, 'SELECT DATABASE()'), DB_NAME),

  prepared: async client => {
    for (const n of [0, 1, 2]) {
      const [rows] = await client.execute('SELECT ? + 0 AS n, CAST(? AS CHAR) AS words', [n, `é${n}`])
      assert.deepEqual({ ...rows[0] }, { n, words: `é${n}` })
    }
  },

  error: async client => {
    await assert.rejects(client.query('SELECT * FROM nowhere'), { errno: 1146, sqlState: '42S02' })
    assert.equal(await value(client, 'SELECT 1'), 1)
  },

  transaction: async client => {
    await client.query('CREATE TABLE mysql2_rows (n INT)')
    await client.beginTransaction()
    await client.query('INSERT INTO mysql2_rows VALUES (1), (2)')
    await client.rollback()
    assert.equal(await value(client, 'SELECT COUNT(*) FROM mysql2_rows'), 0)
  },

  multi: async client => {
    const [results] = await client.query('SELECT 1 AS a; SELECT 2 AS b, 3 AS c')
    assert.deepEqual(JSON.parse(JSON.stringify(results)), [[{ a: 1 }], [{ b: 2, c: 3 }]])
  },

  large: async client => {
    const large = '0123456789abcdef'.repeat(LARGE / 16)
    assert.ok((await value(client, 'SELECT ?', [large])) === large)
    const [rows] = await client.execute('SELECT ? AS large', [large])
    assert.ok(rows[0].large === large)
  },

  infile: async client => {
    await client.query('CREATE TABLE mysql2_lines (n INT, words TEXT)')
    const lines = Array.from({ length: LINES }, (_, n) => `${n}\t${'x'.repeat(n % 100)}\n`).join('')
    const infileStreamFactory = () => require('node:stream').Readable.from([Buffer.from(lines)])
    const [loaded] = await client.query({ sql: "LOAD DATA LOCAL INFILE 'lines' INTO TABLE mysql2_lines", infileStreamFactory })
    assert.equal(loaded.affectedRows, LINES)
  },

  'change user': async () => {
    const other = await connect()
    await other.query('SET @kept = 1')
    await other.changeUser({ user: DB_USER, password: DB_PASSWORD, database: DB_NAME })
    assert.equal(await value(other, 'SELECT CURRENT_USER()'), EXPECTED_USER)
    assert.equal(await value(other, 'SELECT @kept'), null)
    await other.end()
  },

  reset: async () => {
    const other = await connect()
    await other.query('SET @kept = 1')
    await other.reset()
    assert.equal(await value(other, 'SELECT @kept'), null)
    await other.end()
  },

  kill: async client => {
    const other = await connect()
    const id = other.threadId
    assert.equal(await value(other, 'SELECT CONNECTION_ID()'), id)
    // MySQL's SLEEP gives 1 when it is cut short, MariaDB's an error.
    const slept = value(other, 'SELECT SLEEP(600)').catch(error => error.errno)
    const sleeping = "SELECT COUNT(*) FROM information_schema.processlist WHERE id = ? AND info LIKE 'SELECT SLEEP%'"
    while (!(await value(client, sleeping, [id])));
    await client.query('KILL QUERY ?', [id])
    assert.ok([1, 1317].includes(await slept))
    assert.equal(await value(other, 'SELECT 1'), 1)
    await other.end()
  },

  attributes: async client => {
    const [rows] = await client.query(
      'SELECT attr_name AS name, attr_value AS value FROM performance_schema.session_connect_attrs WHERE processlist_id = CONNECTION_ID()')
    const attributes = Object.fromEntries(rows.map(row => [row.name, row.value]))
    assert.equal(attributes.program_name, 'driven')
    assert.equal(attributes._client_name, 'Node-MySQL-2')
  },

  compression: async () => {
    const compressed = await connect({ compress: true })
    assert.ok((await value(compressed, "SELECT REPEAT('z', 5000000)")) === 'z'.repeat(5_000_000))
    const [status] = await compressed.query("SHOW STATUS LIKE 'Compression'")
    assert.equal(status[0].Value, 'ON')
    await compressed.end()
  },

  concurrent: async () => {
    const pool = mysql.createPool({ ...options, connectionLimit: 20 })
    const answers = await Promise.all(Array.from({ length: 200 }, (_, n) => value(pool, 'SELECT ? AS n', [n])))
    assert.deepEqual(answers, Array.from({ length: 200 }, (_, n) => n))
    await pool.end()
  }
}

async function main() {
  const client = await connect()
  const without = DB_WITHOUT.split(',')
  for (const [name, step] of Object.entries(steps).filter(([name]) => !without.includes(name))) {
    await step(client)
    fs.writeSync(1, `ok: ${name}\n`)
  }
  await client.end()
}

setTimeout(() => { console.error('not done after two minutes'); process.exit(1) }, 120_000).unref()
main().catch(error => { console.error(error); process.exit(1) })

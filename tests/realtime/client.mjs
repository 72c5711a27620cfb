// Follows runs with the client module and prints what it sees, a line of JSON for each change. Driven by test_client.py.

const { module, url, token, run, see, transport, tag, after } = JSON.parse(process.argv[2]);
const { connect } = await import(module);

const lines = process.stdin.setEncoding("utf8");
const tokens = [token];
let asked = 0;
lines.on("data", (text) => tokens.push(...text.trim().split("\n")));

const client = connect({ url, transport, token: () => tokens[Math.min(asked++, tokens.length - 1)] });
const store = run ? client.run(run, { see, after }) : client.runs({ tag });
let last = store.getSnapshot();
const stop = store.subscribe(() => {
  const now = store.getSnapshot();
  if (now === last || now !== store.getSnapshot()) throw new Error("a change makes one new snapshot");
  last = now;
  process.stdout.write(`${JSON.stringify({ ...now, asked })}\n`);
  if (now.ended || now.error) {
    stop();
    client.close();
    process.stdin.destroy();
  }
});

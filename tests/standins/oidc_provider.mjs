// An OpenID provider in place of services with OAuth 2.0: refresh tokens rotate, and one that is used twice ends its
// grant. Usage: node oidc_provider.mjs ENTRY_POINT_OF_OIDC_PROVIDER REDIRECT_URL
// It prints its URL; GET /counts tells how many requests for tokens succeeded and failed, by grant type.

import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const [entry, redirectUrl] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(entry));

const server = createServer();
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const url = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(url, {
  clients: [
    {
      client_id: "waypost",
      client_secret: "canary-client-secret-of-32-letters",
      redirect_uris: [redirectUrl],
      grant_types: ["authorization_code", "refresh_token"],
    },
  ],
  cookies: { keys: ["a key of this test only"] },
  features: { revocation: { enabled: true } },
  issueRefreshToken: async () => true,
  rotateRefreshToken: true,
  ttl: { AccessToken: 3600, RefreshToken: 86400, Session: 86400, Grant: 86400, Interaction: 3600 },
});

const counts = {};
const count = (outcome) => (ctx) => {
  const name = `${ctx.oidc?.params?.grant_type} ${outcome}`;
  counts[name] = (counts[name] ?? 0) + 1;
};
provider.on("grant.success", count("succeeded"));
provider.on("grant.error", count("failed"));
provider.use(async (ctx, next) => {
  if (ctx.path !== "/counts") return next();
  ctx.body = counts;
});

server.on("request", provider.callback());
console.log(url);

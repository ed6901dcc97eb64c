// Asks the SCF API at ENDPOINT for what its standard input lists, with Tencent
// Cloud's own SDK, and prints the answers: {"answer":…} or {"code":…,"message":…}.
import http from "node:http";
import scf from "tencentcloud-sdk-nodejs-scf";

const { secretId, secretKey, endpoint, calls } = JSON.parse(await new Response(process.stdin).text());
const agent = new http.Agent({ keepAlive: true });
const answers = [];
for (const { action, request, method } of calls) {
  const client = new scf.scf.v20180416.Client({
    credential: { secretId, secretKey },
    region: "ap-guangzhou",
    profile: { httpProfile: { endpoint, protocol: "http://", reqMethod: method ?? "POST", agent } },
  });
  try {
    answers.push({ answer: await client[action](request) });
  } catch (e) {
    answers.push({ code: e.code, message: e.message });
  }
}
agent.destroy();
process.stdout.write(JSON.stringify(answers));

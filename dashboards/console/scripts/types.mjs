// Generates src/api/schema.d.ts from the query service's OpenAPI document.
// With --check it writes nothing and fails if the file is not current.
import { readFile, writeFile } from 'node:fs/promises';
import openapiTS, { astToString } from 'openapi-typescript';

const document = new URL('../../../query/api/openapi.json', import.meta.url);
const target = new URL('../src/api/schema.d.ts', import.meta.url);

const types = `// Generated from query/api/openapi.json by "npm run types". Do not edit.\n\n${astToString(await openapiTS(document, { alphabetize: true }))}`;

if (process.argv.includes('--check')) {
  const current = await readFile(target, 'utf8').catch(() => '');
  if (current !== types) {
    console.error('src/api/schema.d.ts is not what query/api/openapi.json says: run "npm run types" in dashboards/console and commit the file');
    process.exit(1);
  }
} else {
  await writeFile(target, types);
}

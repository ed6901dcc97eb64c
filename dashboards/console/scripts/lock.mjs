// Completes package-lock.json after `npm install` against a registry that
// serves only some platforms' packages: npm then leaves the others out of the
// lock file, and `npm ci` refuses it. The entries it adds are optional and for
// other platforms than this one, so nothing is installed by them here.
import { readFileSync, writeFileSync } from 'node:fs';

const file = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(file, 'utf8'));
const systems = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const processors = ['arm64', 'arm', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64'];

for (const entry of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const path = `node_modules/${name}`;
    if (lock.packages[path]) continue;
    const os = systems.find((s) => name.includes(s));
    const cpu = processors.find((p) => name.includes(p));
    if (!os || !cpu || !/^\d/.test(version)) throw new Error(`${name}@${version}: a platform package? Add it by hand.`);
    lock.packages[path] = {
      version,
      cpu: [cpu],
      ...(entry.dev && { dev: true }),
      ...(os === 'linux' && { libc: [name.includes('musl') ? 'musl' : 'glibc'] }),
      license: entry.license,
      optional: true,
      os: [os],
    };
  }
}
const root = lock.packages[''];
const rest = Object.entries(lock.packages).filter(([path]) => path !== '');
lock.packages = { '': root, ...Object.fromEntries(rest.toSorted(([a], [b]) => (a < b ? -1 : 1))) };
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);

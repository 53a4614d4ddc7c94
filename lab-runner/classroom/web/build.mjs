// Builds dist from src, pages and lang. Run by build.sh, after tsc has checked the types.
// Equal inputs give equal files.
import { build } from "esbuild";
import { copyFile, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";

const dist = "dist";
const pages = { index: "learner", board: "board", cluster: "cluster" };

const languages = (await readdir("lang")).filter((n) => n.endsWith(".json")).map((n) => n.slice(0, -5)).sort();

for (const name of await readdir(dist)) {
  if (name !== "stub.html") await rm(`${dist}/${name}`, { recursive: true });
}

const result = await build({
  entryPoints: [...Object.values(pages).map((n) => `src/${n}.tsx`), "src/style.css"],
  bundle: true,
  splitting: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  entryNames: "[name]-[hash]",
  chunkNames: "part-[hash]",
  jsx: "automatic",
  jsxImportSource: "preact",
  define: { LANGUAGES: JSON.stringify(languages) },
  loader: { ".svg": "dataurl" },
  outdir: dist,
  metafile: true,
  logLevel: "warning",
});

const built = (entry) => {
  const [path] = Object.entries(result.metafile.outputs).find(([, o]) => o.entryPoint === entry);
  return path.slice(dist.length + 1);
};

for (const [page, script] of Object.entries(pages)) {
  const html = await readFile(`pages/${page}.html`, "utf8");
  const done = html.replaceAll("STYLE", built("src/style.css")).replaceAll("SCRIPT", built(`src/${script}.tsx`));
  await writeFile(`${dist}/${page}.html`, done);
}
await mkdir(`${dist}/lang`);
for (const l of languages) await copyFile(`lang/${l}.json`, `${dist}/lang/${l}.json`);
await copyFile("pages/icon.svg", `${dist}/icon.svg`);

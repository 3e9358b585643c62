import { join } from "node:path";
import ts from "typescript";

const ROOT = join(__dirname, "../../..");
const FILE = join(__dirname, "compiled.ts");

const { config } = ts.readConfigFile(join(ROOT, "tsconfig.base.json"), ts.sys.readFile) as { config: object };
const { options } = ts.parseJsonConfigFileContent({ ...config, include: [], files: [FILE] }, ts.sys, ROOT);
const settings: ts.CompilerOptions = {
  ...options,
  composite: false,
  declarationMap: false,
  sourceMap: false,
  noEmit: true,
  noUnusedLocals: false,
  rootDir: ROOT,
  // The sources, as the tests run them: no build is needed.
  paths: {
    "@rap/core/container": [join(ROOT, "packages/core/src/container.ts")],
    "@rap/*": [join(ROOT, "packages/*/src/index.ts")],
  },
};

/** Parsed once, however often they are compiled with. */
const parsed = new Map<string, ts.SourceFile | undefined>();

export interface Compiled {
  /** The messages of all errors in the text, each with everything that it says on further lines. */
  errors: string[];
  /** How many types the compiler made of generic ones: its work, which no busy machine makes slower. */
  instantiations: number;
  milliseconds: number;
}

/** Type-checks one file of this repository that exists only here. */
export function compile(text: string): Compiled {
  const host = ts.createCompilerHost(settings);
  const file = ts.createSourceFile(FILE, text, {
    languageVersion: ts.ScriptTarget.ES2022,
    impliedNodeFormat: ts.ModuleKind.ESNext,
  });
  const { getSourceFile, fileExists } = host;
  host.fileExists = (path) => path === FILE || fileExists(path);
  host.getSourceFile = (path, ...rest) => {
    if (path === FILE) return file;
    if (!parsed.has(path)) parsed.set(path, getSourceFile(path, ...rest));
    return parsed.get(path);
  };
  const program = ts.createProgram([FILE], settings, host);
  const start = performance.now();
  const errors = [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)];
  const milliseconds = performance.now() - start;
  return {
    errors: errors.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n")),
    instantiations: (program as ts.Program & { getInstantiationCount(): number }).getInstantiationCount(),
    milliseconds,
  };
}

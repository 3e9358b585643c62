import { Server, type ServerOptions } from "@rap/server";

export type Options = ServerOptions;
export const made: new (options: Options) => Server = Server;

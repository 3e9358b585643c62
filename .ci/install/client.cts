import { Client, type ClientOptions } from "@rap/client";

export type Options = ClientOptions;
export const made: new (options: Options) => Client = Client;

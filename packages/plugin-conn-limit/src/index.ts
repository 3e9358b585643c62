export { type ConnLimitInfo, ConnLimitMiddleware, type ConnLimitOptions } from "./conn-limit";
export type { ConnStore, Taken, Usage } from "./conn-store";
export { type IpMaxConnInfo, IpMaxConnMiddleware, type IpMaxConnOptions } from "./ip-max-conn";
export { MemoryConnStore } from "./memory-conn-store";
export { type RedisClient, RedisConnStore, type RedisConnStoreOptions } from "./redis-conn-store";
export type { Visitor } from "./visitors";

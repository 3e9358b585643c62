export { type Cidr, CidrList, parseCidr } from "./cidr";
export { IpFilterMiddleware, type IpFilterOptions } from "./ip-filter";
export type { IpListStore, IpLists, ListName } from "./ip-list-store";
export { type RedisClient, RedisIpListStore, type RedisIpListStoreOptions } from "./redis-ip-list-store";

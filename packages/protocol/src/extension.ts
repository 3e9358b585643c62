/**
 * MessagePack extension types of rap, as a port to another language must write them. All numbers are big-endian, and
 * each value has one form only.
 *
 * | type | value     | bytes                                                                              |
 * | ---- | --------- | ---------------------------------------------------------------------------------- |
 * | -1   | Date      | MessagePack timestamp: `d6 ff` sec32, `d7 ff` nsec30·sec34 or `c7 0c ff` nsec32·sec64 |
 * | 1    | undefined | `d4 01 00`                                                                         |
 * | 2    | bigint    | `d7 02` int64, for -(2^53 - 1) … 2^53 - 1; a larger one is a plain uint64 or int64 |
 * | 3    | Map       | ext of one array: key, value, key, value, …; empty: `d4 03 90`                     |
 * | 4    | Set       | ext of one array of the members; empty: `d4 04 90`                                 |
 */
export const TIMESTAMP = -1;
export const UNDEFINED = 1;
export const BIGINT = 2;
export const MAP = 3;
export const SET = 4;

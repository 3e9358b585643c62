export { msgpackr } from "./msgpackr";

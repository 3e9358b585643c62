import { processorCompliance } from "@rap/core/compliance";
import { CallCounter } from "../../../docs/examples/writing-a-plugin";

processorCompliance("CallCounter", { client: () => new CallCounter(), server: () => new CallCounter() });

// Empty: measures the start of the runtime alone.
export {};

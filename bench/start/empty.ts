// Nothing: what starting a runtime takes.
export {};

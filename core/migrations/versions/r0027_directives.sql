-- Every brief asks a bank for its directives: of a large bank all memories were read to find a few.
CREATE INDEX memories_directives ON factory.memories (bank, number) WHERE live AND kind = 'directive';

import { z } from 'zod';

/** A TCP or UDP port. */
export const Port = z.int().min(1).max(65_535);

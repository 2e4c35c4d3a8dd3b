export { loadNodeFile, type LoadedNodeFile } from './load-node-file.ts';
export { loadRecipe } from './load-recipe.ts';

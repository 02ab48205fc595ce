/* A shared object that is no library of behaviors. */
extern int no_table;
int no_table = 1;
